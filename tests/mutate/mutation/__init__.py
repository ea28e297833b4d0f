"""Mutation testing: small changes of a program, each of which a test has to find."""
