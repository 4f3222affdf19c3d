// SMT: exact safety of regions.
