import Devices
import Foundation
import Tensors
import Testing
import Transformer

@Suite struct TrainerTests {
  static let configuration: TransformerConfiguration = {
    var c = DifferenceTests.configurations[0]
    c.modelDimension = 32
    c.feedForwardDimension = 64
    c.keyDimension = 8
    c.valueDimension = 8
    c.heads = 4
    c.vocabularySize = 24
    c.dropout = 0.1
    return c
  }()

  static let pairs: [EncodedPair] = {
    var random = SplitMix(state: 8)
    return (0..<120).map { _ in
      let source = (0..<Int(random.next() % 6 + 1)).map { _ in Int32(random.next() % 21 + 3) }
      return EncodedPair(source: source, target: source.reversed())
    }
  }()

  static var options: TrainingOptions {
    var options = TrainingOptions()
    options.batchTokens = 60
    options.warmup = 50
    options.clip = 1
    return options
  }

  static func trainer(
    _ options: TrainingOptions, threads: Int = 2, communicator: (any Communicator)? = nil
  ) throws -> Trainer {
    try Trainer(
      try TransformerModel(configuration, seed: 3), pairs: pairs, options: options,
      device: try CPUDevice(threads: threads), communicator: communicator)
  }

  static func bits(_ trainer: Trainer) -> [UInt32] {
    trainer.model.weights.elements.map(\.bitPattern)
  }

  /// Stopped and resumed, on another number of threads, training goes on with the same bits.
  @Test func resumesBitForBit() throws {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "trainer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appending(path: "checkpoint.safetensors").path
    let whole = try Self.trainer(Self.options)
    var losses: [Double] = []
    for _ in 0..<14 { losses.append(try whole.advance().loss.mean) }
    let first = try Self.trainer(Self.options)
    for _ in 0..<9 { _ = try first.advance() }
    try first.save(to: path, notes: ["note": "kept \"as it\" is\n"])
    let second = try Self.trainer(Self.options, threads: 3)
    #expect(try second.resume(from: path)["note"] == "kept \"as it\" is\n")
    #expect(second.step == 9)
    for i in 9..<14 { #expect(try second.advance().loss.mean == losses[i]) }
    #expect(Self.bits(second) == Self.bits(whole))

    var other = Self.options
    other.clip = 2
    #expect(throws: Trainer.Failure.self) { try Self.trainer(other).resume(from: path) }
    try first.model.save(to: path, type: .bfloat16)
    #expect(throws: Trainer.Failure.self) { try Self.trainer(Self.options).resume(from: path) }
    let loaded = try TransformerModel.load(path: path).model
    for (a, b) in zip(loaded.weights.elements, first.model.weights.elements) {
      #expect(a == Float(BFloat16(b)))
    }
  }

  /// One of two processes that run in turn: the other's gradient is known from a rehearsal.
  final class Partner: Communicator, @unchecked Sendable {
    let rank: Int
    let count = 2
    var mine: [Float] = []
    var other: [Float] = []

    init(rank: Int) { self.rank = rank }

    func addUp(_ values: UnsafeMutableBufferPointer<Float>) {
      mine = Array(values)
      for i in other.indices { values[i] = rank == 0 ? mine[i] + other[i] : other[i] + mine[i] }
    }

    func addUp(_ values: UnsafeMutableBufferPointer<Double>) {}

    func gather(_ values: UnsafeMutableBufferPointer<Float>, counts: [Int]) {}
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer) {}

    func abort(_ reason: String) {}
  }

  /// Two processes make the step of one with twice the accumulation, within rounding.
  @Test func twoProcessesAreOneWithTwiceThePasses() throws {
    var options = Self.options
    options.accumulation = 2
    let alone = try Self.trainer(options)
    _ = try alone.advance()
    options.accumulation = 1
    let partners = [Partner(rank: 0), Partner(rank: 1)]
    for partner in partners { _ = try Self.trainer(options, communicator: partner).advance() }
    (partners[0].other, partners[1].other) = (partners[1].mine, partners[0].mine)
    let trainers = try partners.map { try Self.trainer(options, communicator: $0) }
    for trainer in trainers { _ = try trainer.advance() }
    #expect(Self.bits(trainers[0]) == Self.bits(trainers[1]))
    let pairs = zip(trainers[0].model.weights.elements, alone.model.weights.elements)
    let rate = options.learningRate(step: 1, modelDimension: 32)
    // Adam's first step is ±rate wherever the gradient is not tiny.
    let distant = pairs.count { abs($0 - $1) > rate / 50 }
    #expect(distant < alone.model.weights.layout.count / 50)
  }

  /// One process that wants to end is enough, whichever it is.
  @Test func processesAgree() throws {
    let partner = Partner(rank: 1)
    partner.other = [0]
    #expect(try !partner.isTrueAnywhere(false))
    #expect(try partner.isTrueAnywhere(true))
    partner.other = [1]
    #expect(try partner.isTrueAnywhere(false))
  }

  /// A model learns to turn words round, and translating gives what it learnt, with rounded weights
  /// too.
  @Test func learnsToReverse() throws {
    var options = Self.options
    options.batchTokens = 300
    options.constantRate = 3e-3
    let trainer = try Self.trainer(options)
    let before = try trainer.loss(of: Self.pairs).meanNegativeLogLikelihood
    for _ in 0..<300 { _ = try trainer.advance() }
    let after = try trainer.loss(of: Self.pairs).meanNegativeLogLikelihood
    #expect(after < before / 4)
    let device = try CPUDevice(threads: 2)
    for precision in WeightPrecision.allCases {
      let translator = try Translator(trainer.model, precision: precision, device: device)
      let found = try translator.translate(Self.pairs.map(\.source))
      let right = zip(found, Self.pairs).count { $0.first?.tokens == $1.target }
      #expect(right * 10 >= Self.pairs.count * 6, "\(precision): \(right)")
    }
  }

  @Test func schedule() {
    var options = TrainingOptions()
    options.warmup = 4000
    #expect(abs(options.learningRate(step: 1, modelDimension: 512) - 1.7469281e-7) < 1e-12)
    #expect(abs(options.learningRate(step: 4000, modelDimension: 512) - 6.987712e-4) < 1e-9)
    #expect(abs(options.learningRate(step: 16000, modelDimension: 512) - 3.493856e-4) < 1e-9)
  }
}
