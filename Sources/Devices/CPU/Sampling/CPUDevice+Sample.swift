public import Tensors

// FlashInfer's sampling operators, with per-row parameters:
//
//   sampling_from_logits, top_k_top_p_sampling_from_logits    sampleFromLogits
//   sampling_from_probs, top_k_…, top_p_…, min_p_…, top_k_top_p_sampling_from_probs
//                                                             sampleFromProbabilities
extension CPUDevice {
  /// Draws a column of every row of logits.
  ///
  /// The distribution of a row is softmax(logits / temperature), filtered; a row's choice depends on
  /// its own arguments only, whatever the other rows and the number of threads.
  ///
  /// - Parameters:
  ///   - logits: Rows × vocabulary. NaN is never drawn.
  ///   - temperatures: One for all rows or one for each, at least 0; 0 takes the first of the
  ///     largest.
  ///   - filters: Which tokens may be drawn; one for all rows or one for each.
  ///   - random: Where each row finds its random number.
  /// - Returns: A column for every row, `nil` where no logit is above −∞.
  public func sampleFromLogits(
    _ logits: MatrixView, temperatures: [Float] = [1],
    filters: [SamplingFilter] = [SamplingFilter()], random: [CounterRandom.Point]
  ) throws(OperatorFailure) -> [Int?] {
    try requirePerRow(temperatures.count, rows: logits.rows, "temperatures")
    try requireValues(temperatures, "temperatures", expected: "a finite number of at least 0") {
      $0 >= 0 && $0.isFinite
    }
    try checkSampling(logits, filters, random)
    return forEachVocabularyRow(of: logits) { row, sampler in
      sampler.token(
        logits: logits.row(row), count: logits.columns,
        temperature: temperatures[temperatures.count == 1 ? 0 : row],
        filter: filters[filters.count == 1 ? 0 : row], uniform: random[row].uniform())
    }
  }

  /// Draws a column of every row of probabilities.
  ///
  /// - Parameters:
  ///   - probabilities: Rows × vocabulary; they need not sum to 1. What is not positive is never
  ///     drawn.
  ///   - filters: Which tokens may be drawn; one for all rows or one for each.
  ///   - random: Where each row finds its random number.
  /// - Returns: A column for every row, `nil` where no probability is positive.
  public func sampleFromProbabilities(
    _ probabilities: MatrixView, filters: [SamplingFilter] = [SamplingFilter()],
    random: [CounterRandom.Point]
  ) throws(OperatorFailure) -> [Int?] {
    try checkSampling(probabilities, filters, random)
    return forEachVocabularyRow(of: probabilities) { row, sampler in
      sampler.token(
        probabilities: probabilities.row(row), count: probabilities.columns,
        filter: filters[filters.count == 1 ? 0 : row], uniform: random[row].uniform())
    }
  }

  private func checkSampling(
    _ x: MatrixView, _ filters: [SamplingFilter], _ random: [CounterRandom.Point],
    _ operation: String = #function
  ) throws(OperatorFailure) {
    try requireVocabulary(x, operation)
    try requirePerRow(filters.count, rows: x.rows, "filters", operation)
    try requireValues(
      filters, "filters", expected: "topK ≥ 0, 0 < topP ≤ 1 and 0 ≤ minP ≤ 1", operation
    ) { $0.topK >= 0 && $0.topP > 0 && $0.topP <= 1 && $0.minP >= 0 && $0.minP <= 1 }
    try require(
      random.count == x.rows, "random", expected: "\(x.rows) elements", found: "\(random.count)",
      operation)
  }

  /// Throws where positions would not fit the kernels.
  func requireVocabulary(_ x: MatrixView, _ operation: String = #function)
    throws(OperatorFailure)
  {
    try require(
      x.columns <= Int(Int32.max) - 64, "columns", expected: "fewer than 2³¹",
      found: "\(x.columns)", operation)
  }

  /// Calls `body` for every row with a sampler of its worker's.
  func forEachVocabularyRow<Result>(of x: MatrixView, _ body: (Int, RowSampler) -> Result?)
    -> [Result?]
  {
    var results = [Result?](repeating: nil, count: x.rows)
    results.withUnsafeMutableBufferPointer { results in
      // Each worker writes the results of its own rows.
      nonisolated(unsafe) let results = results
      pool.forEachRange(x.rows, grain: 1) { range, worker in
        let sampler = RowSampler(self, columns: x.columns, worker: worker)
        for row in range { results[row] = body(row, sampler) }
      }
    }
    return results
  }
}
