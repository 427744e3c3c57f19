import Devices
import Tensors
import Testing
import Transformer

/// Forward, backward and training against PyTorch; made by `scripts/transformer_check.py`.
@Suite struct TorchTests {
  @Test(arguments: TorchCase.names)
  func logitsAndGradients(name: String) throws {
    let one = try TorchCase(name)
    let device = try CPUDevice(threads: 2)
    let gradient = try Gradient(one.model, device: device)
    let batch = try one.batch(0)
    let logits = try gradient.logits(of: batch)
    let expected = try one.floats("logits")
    #expect(logits.count == expected.count)
    let error = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(error <= 1e-5, "logits: \(error)")

    gradient.values.elements.update(repeating: .nan)
    gradient.values.clear()
    _ = try gradient.accumulate(batch, scale: 1 / Float(batch.labels.count), dropout: nil)
    for entry in gradient.values.layout.entries {
      let found = gradient.values.elements(of: entry)
      let expected = try one.floats("g.\(entry.name)")
      let size = expected.reduce(0) { max($0, abs($1)) }
      let error = zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
      // The bias of keys shifts all scores of a row alike: parts of its gradient are exactly 0.
      #expect(error <= 1e-4 * max(size, 1e-4), "\(entry.name): \(error) of \(size)")
    }
  }

  @Test(arguments: TorchCase.names)
  func trainingCurve(name: String) throws {
    let one = try TorchCase(name)
    let device = try CPUDevice(threads: 2)
    let gradient = try Gradient(one.model, device: device)
    let layout = one.model.weights.layout
    let (first, second) = (Parameters(layout), Parameters(layout))
    let batches = try (0..<3).map(one.batch)
    for (i, expected) in try one.floats("losses").enumerated() {
      let batch = batches[i % 3]
      gradient.values.clear()
      let loss = try gradient.accumulate(
        batch, scale: 1 / Float(batch.labels.count), dropout: nil)
      #expect(abs(loss.mean - Double(expected)) <= 1e-3 * Double(expected), "step \(i)")
      device.adam(
        one.model.weights.elements, first: first.elements, second: second.elements,
        gradient: gradient.values.elements,
        CPUDevice.AdamStep(beta1: 0.9, beta2: 0.98, epsilon: 1e-9, rate: one.rate, step: i + 1))
    }
  }

  /// The same bits on any number of threads, dropout included; other bits for another pass.
  @Test func threadsDoNotShow() throws {
    let one = try TorchCase("post")
    var configuration = one.model.configuration
    configuration.dropout = 0.3
    let model = try TransformerModel(configuration, weights: one.model.weights)
    // Uneven enough that attention's work is cut.
    let pairs = [70, 3, 33, 1].map { length in
      let tokens = (0..<length).map { Int32($0 % 30 + 3) }
      return EncodedPair(source: tokens, target: tokens.reversed())
    }
    let batch = try SentenceBatch(pairs, for: configuration)
    func run(threads: Int, pass: UInt32) throws -> [UInt32] {
      let gradient = try Gradient(model, device: try CPUDevice(threads: threads))
      let dropout = Gradient.Dropout(random: CounterRandom(seed: 5), pass: pass)
      _ = try gradient.accumulate(batch, scale: 0.1, dropout: dropout)
      return gradient.values.elements.map(\.bitPattern)
    }
    let alone = try run(threads: 1, pass: 3)
    #expect(try run(threads: 3, pass: 3) == alone)
    #expect(try run(threads: 1, pass: 4) != alone)
  }

  /// Products of rounded factors stay within bfloat16's precision.
  @Test func roundedProducts() throws {
    let one = try TorchCase("post")
    let batch = try one.batch(0)
    let device = try CPUDevice(threads: 2)
    func gradient(_ precision: ProductPrecision) throws -> (Double, [Float]) {
      let gradient = try Gradient(one.model, precision: precision, device: device)
      let loss = try gradient.accumulate(batch, scale: 1 / 50, dropout: nil)
      return (loss.mean, Array(gradient.values.elements))
    }
    let (exact, g) = try gradient(.float32)
    let (rounded, r) = try gradient(.bfloat16)
    #expect(abs(exact - rounded) <= 1e-2 * exact)
    let error = zip(g, r).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    let size = g.reduce(0) { $0 + $1 * $1 }.squareRoot()
    #expect(error <= 3e-2 * size)
    #expect(error > 0)
  }
}
