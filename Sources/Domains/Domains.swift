// Domains: concrete tensors and intervals.
