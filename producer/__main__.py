"""`python -m producer` runs the `producer` command, also if its script is not on the path."""

from producer.cli import main

main()
