internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Keeps the K most probable tokens of every row and scales them to the sum 1; the others become
  /// 0 (FlashInfer's `top_k_renorm_probs`).
  ///
  /// Of equal probabilities the lower columns stay, so that exactly K do.
  ///
  /// - Parameters:
  ///   - probabilities: Rows × vocabulary; they need not sum to 1.
  ///   - topK: K for all rows or one for each, at least 1.
  ///   - y: The result, of the same shape; may be `probabilities`.
  public func topKRenormalize(_ probabilities: MatrixView, topK: [Int], into y: MatrixView)
    throws(OperatorFailure)
  {
    try checkTopK(probabilities, topK, y)
    renormalize(probabilities, into: y) { sampler, row, index, largest in
      sampler.cut(row, topK: topK[topK.count == 1 ? 0 : index], largest: largest)
    }
  }

  /// Keeps the smallest set of most probable tokens of every row that holds a share of its
  /// probability and scales them to the sum 1; the others become 0 (FlashInfer's
  /// `top_p_renorm_probs`).
  ///
  /// - Parameters:
  ///   - probabilities: Rows × vocabulary; they need not sum to 1.
  ///   - topP: The share for all rows or one for each, above 0 and at most 1.
  ///   - y: The result, of the same shape; may be `probabilities`.
  public func topPRenormalize(_ probabilities: MatrixView, topP: [Float], into y: MatrixView)
    throws(OperatorFailure)
  {
    try requireVocabulary(probabilities)
    try requireSameShape(probabilities, y)
    try requirePerRow(topP.count, rows: y.rows, "topP")
    try requireValues(topP, "topP", expected: "a number above 0 and at most 1") {
      $0 > 0 && $0 <= 1
    }
    renormalize(probabilities, into: y) { sampler, row, index, largest in
      let share = topP[topP.count == 1 ? 0 : index]
      guard share < 1 else { return .nothing }
      let total = row.measure(atLeast: .leastNonzeroMagnitude, sampler.kernels).sum
      return sampler.cut(row, topP: Double(share) * total, largest: largest)
    }
  }

  /// Keeps the K largest logits of every row; the others become −∞ (FlashInfer's
  /// `top_k_mask_logits`).
  ///
  /// Of equal logits the lower columns stay, so that exactly K do.
  ///
  /// - Parameters:
  ///   - logits: Rows × vocabulary.
  ///   - topK: K for all rows or one for each, at least 1.
  ///   - y: The result, of the same shape; may be `logits`.
  public func topKMaskLogits(_ logits: MatrixView, topK: [Int], into y: MatrixView)
    throws(OperatorFailure)
  {
    try checkTopK(logits, topK, y)
    forEachCut(of: logits) { sampler, row, index, largest in
      let keep = topK[topK.count == 1 ? 0 : index]
      let cut = keep < row.count ? sampler.cut(row, topK: keep, largest: largest) : .nothing
      sampler.kernels.keep?(
        row.values, row.count, cut.value, cut.position, 1, -.infinity, y.row(index))
    }
  }

  private func checkTopK(
    _ x: MatrixView, _ topK: [Int], _ y: MatrixView, _ operation: String = #function
  ) throws(OperatorFailure) {
    try requireVocabulary(x, operation)
    try requireSameShape(x, y, operation)
    try requirePerRow(topK.count, rows: x.rows, "topK", operation)
    try requireValues(topK, "topK", expected: "at least 1", operation) { $0 >= 1 }
  }

  private func renormalize(
    _ x: MatrixView, into y: MatrixView,
    _ cut: (RowSampler, VocabularyRow, _ index: Int, _ largest: Float) -> Cut
  ) {
    forEachCut(of: x) { sampler, row, index, largest in
      var end = largest > 0 ? cut(sampler, row, index, largest) : .nothing
      // What is not positive never stays.
      if !(end.value > 0) { end = Cut(value: .leastNonzeroMagnitude, position: .max) }
      // What is larger, and of its equals those that lie before the end.
      let larger = row.measure(atLeast: end.value.nextUp, sampler.kernels)
      var part = row
      part.count = min(row.count, end.position == .max ? .max : end.position + 1)
      let equals =
        part.measure(atLeast: end.value, sampler.kernels).count
        - part.measure(atLeast: end.value.nextUp, sampler.kernels).count
      let sum = larger.sum + Double(equals) * Double(end.value)
      sampler.kernels.keep?(
        row.values, row.count, end.value, end.position, sum > 0 ? Float(1 / sum) : 0, 0,
        y.row(index))
    }
  }

  /// Calls `body` with every row, its spans' maxima ready, and its largest element.
  private func forEachCut(
    of x: MatrixView, _ body: (RowSampler, VocabularyRow, _ index: Int, _ largest: Float) -> Void
  ) {
    let _: [Void?] = forEachVocabularyRow(of: x) { index, sampler in
      let (row, largest) = sampler.row(x.row(index), count: x.columns)
      body(sampler, row, index, largest)
    }
  }
}
