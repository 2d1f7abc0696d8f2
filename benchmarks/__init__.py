"""Measurements that are too long for the tests: how the service fares when much goes wrong."""
