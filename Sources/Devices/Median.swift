extension Collection<Double> {
  /// The value in the middle, of an even number the mean of the two there; 0 of none.
  package var median: Double {
    if isEmpty { return 0 }
    let sorted = self.sorted()
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }
}
