"""The data sets that come with the producer: one module each, named like its data set."""
