public import Devices
internal import Tensors

/// A measurement of the backward pass, beside 32-bit multiply-adds in registers.
///
/// Causal attention of equal requests. Every round takes the probe, the forward and the backward
/// pass one after the other; figures are medians over rounds. Only scores that count are counted:
/// 4·D operations each forward, 10·D backward (five products).
public struct GradientBenchmark: Sendable, Hashable {
  /// Requests.
  public var batch = 2
  /// Tokens of a request.
  public var length = 1_024
  /// Key/value heads.
  public var kvHeads = 4
  /// Query heads for each key/value head.
  public var groupSize: Int
  /// Elements of queries, keys and values.
  public var headDimension: Int
  /// The kind of attention.
  public var kind: Kind
  /// Measurements, the median of which counts.
  public var rounds = 7

  /// Kinds of causal attention.
  public enum Kind: String, Sendable, CaseIterable, Codable {
    /// Scores pass unchanged.
    case causal
    /// Scores capped smoothly, the cap learned.
    case softCap
    /// Rotary embedding of queries and keys.
    case rope
    /// A functor each on queries, keys, values and outputs, with a learned gain.
    case functors

    /// The variant.
    var variant: AttentionVariant {
      switch self {
      case .causal: .causal
      case .softCap: .causal.combined(with: .softCap(3))
      case .rope: .causal.combined(with: .rope())
      case .functors:
        AttentionVariant("functors") { v in
          let gain = v.parameter("gain", default: 0.75)
          v.query { x, _ in x.own + gain * x.neighbour }
          v.key { x, _ in tanh(gain * x.own) + x.opposite / 8 }
          v.value { x, at in x.own * exp(-gain * at.dimension / 64) }
          v.output { x, _ in x.own * sigmoid(x.neighbour) + gain * x.own }
          v.mask { at in at.kv <= at.query }
        }
      }
    }
  }

  /// A benchmark with the usual lengths.
  public init(headDimension: Int, groupSize: Int = 1, kind: Kind = .causal) {
    self.headDimension = headDimension
    self.groupSize = groupSize
    self.kind = kind
  }

  /// The name of a table's row.
  public var name: String { "gradient \(kind.rawValue) D\(headDimension) g\(groupSize) \(length)" }

  /// Head dimensions 64 and 128, groups, a learned soft cap, and functors on vectors.
  public static let all = [
    GradientBenchmark(headDimension: 64), GradientBenchmark(headDimension: 128),
    GradientBenchmark(headDimension: 128, groupSize: 4),
    GradientBenchmark(headDimension: 64, kind: .softCap),
    GradientBenchmark(headDimension: 128, kind: .softCap),
    GradientBenchmark(headDimension: 64, kind: .rope),
    GradientBenchmark(headDimension: 64, kind: .functors),
  ]

  /// The figures of one benchmark.
  public struct Result: Sendable, Codable {
    /// The name of a table's row.
    public var name: String
    /// Threads of the device.
    public var threads: Int
    /// The device's instruction set.
    public var instructionSet: String
    /// Median seconds of a forward pass.
    public var forwardSeconds: Double
    /// Median seconds of a backward pass.
    public var backwardSeconds: Double
    /// GFLOP/s of the forward pass.
    public var forwardGigaflopsPerSecond: Double
    /// GFLOP/s of the backward pass.
    public var backwardGigaflopsPerSecond: Double
    /// The median probe, GFLOP/s of multiply-adds in registers.
    public var peakGigaflopsPerSecond: Double
    /// The median over rounds of the backward pass's rate / probe.
    public var ratioToPeak: Double
  }

  /// Measures on a device.
  ///
  /// - Parameters:
  ///   - device: The processor.
  ///   - multiplyAddPeak: 32-bit multiply-adds in registers by all threads, operations per second.
  public func run(on device: CPUDevice, multiplyAddPeak: () -> Double)
    throws(DifferentiableAttention.Failure) -> Result
  {
    let setup = try Setup(self, device)
    try setup.forward()
    try setup.backward()
    var forward: [Double] = []
    var backward: [Double] = []
    var peaks: [Double] = []
    let clock = ContinuousClock()
    for _ in 0..<max(rounds, 1) {
      peaks.append(multiplyAddPeak())
      let start = clock.now
      try setup.forward()
      let middle = clock.now
      try setup.backward()
      forward.append((middle - start) / .seconds(1))
      backward.append((clock.now - middle) / .seconds(1))
    }
    let scores = Double(batch * length * (length + 1) / 2 * kvHeads * groupSize)
    let operations = scores * Double(headDimension)
    return Result(
      name: name, threads: device.pool.count, instructionSet: device.instructionSet.rawValue,
      forwardSeconds: forward.median, backwardSeconds: backward.median,
      forwardGigaflopsPerSecond: 4 * operations / forward.median / 1e9,
      backwardGigaflopsPerSecond: 10 * operations / backward.median / 1e9,
      peakGigaflopsPerSecond: peaks.median / 1e9,
      ratioToPeak: zip(backward, peaks).map { 10 * operations / $0.0 / $0.1 }.median)
  }

  /// Tensors with arbitrary contents.
  private struct Setup {
    let attention: DifferentiableAttention
    private let memory: [AlignedBuffer]
    private let queries, keys, values, output, lse, outputGradient: MatrixView
    private let queryGradient, keyGradient, valueGradient: MatrixView

    init(_ benchmark: GradientBenchmark, _ device: CPUDevice)
      throws(DifferentiableAttention.Failure)
    {
      let shape = AttentionShape(
        queryHeads: benchmark.kvHeads * benchmark.groupSize, kvHeads: benchmark.kvHeads,
        headDimension: benchmark.headDimension)
      attention = try DifferentiableAttention(
        device: device, shape: shape,
        variant: benchmark.kind.variant)
      let lengths = [Int](repeating: benchmark.length, count: benchmark.batch)
      let rows: RaggedIndex
      do { rows = try RaggedIndex(lengths: lengths) } catch { throw .pages(error.description) }
      try attention.update(queries: rows, keys: rows)

      var random = SplitMix(state: 1)
      var memory: [AlignedBuffer] = []
      func tensor(_ columns: Int) -> MatrixView {
        let buffer = AlignedBuffer(byteCount: max(rows.total, 1) * columns * 4)
        memory.append(buffer)
        let floats = buffer.elements(Float.self)
        for i in floats.indices { floats[i] = Float(random.next() >> 40) * 0x1p-23 - 1 }
        return MatrixView(
          floats.baseAddress.unsafelyUnwrapped, rows: rows.total, columns: columns)
      }
      let query = shape.queryHeads * shape.headDimension
      let key = shape.kvHeads * shape.headDimension
      (queries, keys, values) = (tensor(query), tensor(key), tensor(key))
      (output, lse, outputGradient) = (tensor(query), tensor(shape.queryHeads), tensor(query))
      (queryGradient, keyGradient, valueGradient) = (tensor(query), tensor(key), tensor(key))
      self.memory = memory
    }

    func forward() throws(DifferentiableAttention.Failure) {
      try attention.forward(
        queries: queries, keys: keys, values: values, output: output, lse: lse)
    }

    func backward() throws(DifferentiableAttention.Failure) {
      try attention.backward(
        queries: queries, keys: keys, values: values, output: output, lse: lse,
        outputGradient: outputGradient, queryGradient: queryGradient, keyGradient: keyGradient,
        valueGradient: valueGradient)
    }
  }
}
