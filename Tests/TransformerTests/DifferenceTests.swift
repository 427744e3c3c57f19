import Devices
import Tensors
import Testing
import Transformer

/// The backward pass against differences of the loss in 64-bit floats.
@Suite struct DifferenceTests {
  static let configurations: [TransformerConfiguration] = {
    var post = TransformerConfiguration()
    post.layers = 1
    post.modelDimension = 10
    post.feedForwardDimension = 13
    post.heads = 3
    post.keyDimension = 5
    post.valueDimension = 4
    post.vocabularySize = 11
    post.maximumPositions = 9
    var pre = post
    pre.normalization = .pre
    pre.positions = .learned
    pre.layers = 2
    return [post, pre]
  }()

  static let pairs = [
    EncodedPair(source: [3, 4, 5, 9], target: [6, 7]), EncodedPair(source: [10], target: []),
    EncodedPair(source: [8, 8, 3], target: [3, 4, 5, 6, 10, 4]),
  ]

  @Test(arguments: 0..<2, InstructionSet.available)
  func followsDifferences(which: Int, level: InstructionSet) throws {
    let configuration = Self.configurations[which]
    let model = try TransformerModel(configuration, seed: 9)
    // Zero biases and unit norms would hide mistakes.
    var random = SplitMix(state: 1)
    for i in model.weights.elements.indices {
      model.weights.elements[i] += (Float(random.next() >> 40) * 0x1p-23 - 1) * 0.1
    }
    let batch = try SentenceBatch(Self.pairs, for: configuration)
    var reference = DoubleTransformer(model)
    let device = try CPUDevice(threads: 2, instructionSet: level)
    let gradient = try Gradient(model, device: device)
    let loss = try gradient.accumulate(
      batch, scale: 1 / Float(batch.labels.count), dropout: nil)
    #expect(abs(loss.mean - reference.loss(of: batch)) <= 1e-5)
    for entry in model.weights.layout.entries {
      let found = gradient.values.elements(of: entry)
      let size = Double(found.reduce(0) { max($0, abs($1)) })
      for _ in 0..<6 {
        let i = Int(random.next() % UInt64(entry.count))
        let value = reference.values[entry.name]?[i] ?? 0
        let h = 1e-5
        reference.values[entry.name]?[i] = value + h
        let above = reference.loss(of: batch)
        reference.values[entry.name]?[i] = value - h
        let below = reference.loss(of: batch)
        reference.values[entry.name]?[i] = value
        let expected = (above - below) / (2 * h)
        #expect(
          abs(Double(found[i]) - expected) <= 1e-4 * max(size, 1e-2), "\(entry.name)[\(i)]")
      }
    }
  }

  @Test func badBatches() throws {
    let configuration = Self.configurations[1]
    #expect(throws: SentenceBatch.Invalid.token(pair: 0, side: "target", value: 11, limit: 11)) {
      try SentenceBatch([EncodedPair(source: [3], target: [11])], for: configuration)
    }
    #expect(throws: SentenceBatch.Invalid.length(pair: 0, side: "source", value: 10, limit: 9)) {
      try SentenceBatch(
        [EncodedPair(source: [Int32](repeating: 3, count: 9), target: [])], for: configuration)
    }
    var wrong = configuration
    wrong.dropout = 1
    #expect(throws: TransformerConfiguration.Invalid.self) { try wrong.check() }
    wrong = configuration
    wrong.heads = 0
    #expect(throws: TransformerConfiguration.Invalid.self) { try wrong.check() }
  }
}
