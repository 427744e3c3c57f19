import Glibc
internal import Tensors

/// The time one token's draw takes.
package struct SamplingMeasurement: Sendable {
  /// What the logits look like.
  package let distribution: String
  /// The number of logits.
  package let vocabulary: Int
  /// The setting, in words.
  package let setting: String
  /// Seconds of one draw, the median of all.
  package let seconds: Double
}

extension CPUDevice {
  /// What is measured: greedy, and the filters that serving uses.
  private static let settings: [(name: String, temperature: Float, filter: SamplingFilter)] = [
    ("greedy", 0, SamplingFilter()),
    ("all tokens", 0.8, SamplingFilter()),
    ("top-k 50", 0.8, SamplingFilter(topK: 50)),
    ("top-p 0.95", 0.8, SamplingFilter(topP: 0.95)),
    ("min-p 0.05", 0.8, SamplingFilter(minP: 0.05)),
    ("top-k 50, top-p 0.95", 0.8, SamplingFilter(topK: 50, topP: 0.95)),
    ("top-k 1000, top-p 0.95", 0.8, SamplingFilter(topK: 1_000, topP: 0.95)),
    ("joint top-k 50, top-p 0.95", 0.8, SamplingFilter(topK: 50, topP: 0.95, order: .joint)),
  ]

  /// Times single draws from one row of logits, as a decoding step makes them.
  ///
  /// - Parameters:
  ///   - vocabulary: The number of logits.
  ///   - budget: Seconds that each setting may take.
  package func benchmarkSampling(vocabulary: Int, budget: Double = 0.2) throws(OperatorFailure)
    -> [SamplingMeasurement]
  {
    var result: [SamplingMeasurement] = []
    for (name, logits) in Self.benchmarkLogits(vocabulary) {
      for setting in Self.settings {
        var times: [Double] = []
        let clock = ContinuousClock()
        let start = clock.now
        let memory = AlignedBuffer(byteCount: vocabulary * MemoryLayout<Float>.stride)
        _ = memory.elements(Float.self).update(fromContentsOf: logits)
        guard let base = memory.elements(Float.self).baseAddress else { continue }
        let row = MatrixView(base, rows: 1, columns: vocabulary)
        while times.count < 5 || (clock.now - start) / .seconds(1) < budget {
          let before = clock.now
          _ = try sampleFromLogits(
            row, temperatures: [setting.temperature], filters: [setting.filter],
            random: [.init(seed: 1, counter: UInt64(times.count))])
          times.append((clock.now - before) / .seconds(1))
        }
        withExtendedLifetime(memory) {}
        result.append(
          SamplingMeasurement(
            distribution: name, vocabulary: vocabulary, setting: setting.name,
            seconds: times.median))
      }
    }
    return result
  }

  /// Logits as a language model's, probabilities falling with the rank (Zipf), and normal ones with
  /// standard deviation 2, whose top-p keeps a good part of the vocabulary.
  private static func benchmarkLogits(_ count: Int) -> [(String, [Float])] {
    var random = SplitMix(state: 1)
    var zipf = (0..<count).map { -1.2 * log(Double($0 + 1)) }
    zipf.shuffle(using: &random)
    let normal = (0..<count).map { _ in
      // The sum of twelve uniform numbers is nearly normal.
      2 * (0..<12).reduce(-6) { sum, _ in sum + Double.random(in: 0..<1, using: &random) }
    }
    return [("Zipf", zipf.map { Float($0) }), ("normal", normal.map { Float($0) })]
  }
}
