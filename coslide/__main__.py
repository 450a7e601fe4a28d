"""`python -m coslide`: the command line."""

from coslide.packages import main

main()
