"""The commands, by what they are for. Border code only: options in, sentences out."""
