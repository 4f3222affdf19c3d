// Search: attacks and branch and bound.
