"""`python -m judge.cli`: the same as `opjudge`."""

from judge.cli import main

main()
