"""The data sets that come with the producer: one module each, with the name of its data set."""
