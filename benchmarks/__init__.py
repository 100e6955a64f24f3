"""How fast the product is, measured beside what else could do the job. `make bench` runs it."""
