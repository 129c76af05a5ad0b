"""`python -m producer`: the same command where the console script is not on the path."""

from producer.cli import main

main()
