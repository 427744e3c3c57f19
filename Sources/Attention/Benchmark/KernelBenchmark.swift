/// A measurement of attention alone, beside what the machine can do at best in the same minute.
///
/// Every round takes the probe and the kernel one after the other and the ratio of the two; the
/// figures reported are medians over rounds. The machine's own drift so cancels.
public struct KernelBenchmark: Sendable, Hashable {
  /// What the queries are.
  public enum Phase: String, Sendable, CaseIterable, Codable {
    /// One new token a request: bound by reading keys and values.
    case decode
    /// All tokens new, causal: bound by multiply-adds.
    case prefill
  }

  /// How the requests' lengths are spread about their mean.
  public enum Lengths: String, Sendable, CaseIterable, Codable {
    /// All equal.
    case constant
    /// Evenly from almost nothing to twice the mean.
    case uniform
    /// The k-th longest is proportional to 1/k.
    case zipf
  }

  /// What the queries are.
  public var phase: Phase
  /// The spread of lengths.
  public var lengths: Lengths
  /// Requests.
  public var batch = 16
  /// Mean tokens of a request.
  public var meanLength: Int
  /// Query heads for each key/value head.
  public var groupSize: Int
  /// Key/value heads.
  public var kvHeads = 8
  /// Elements of keys and values.
  public var headDimension = 128
  /// Tokens of a page.
  public var pageSize = 16
  /// The stored form of keys and values.
  public var elementType = ElementTypeName.bfloat16
  /// The last keys that a query sees; all of them where nil.
  public var window: Int?
  /// Whether the plan is batch-invariant.
  public var isBatchInvariant = false
  /// Measurements, the median of which counts.
  public var rounds = 7

  /// The stored forms a cache takes.
  public enum ElementTypeName: String, Sendable, CaseIterable, Codable {
    case float32, float16, bfloat16, float8E4M3, float8E5M2, int8
  }

  /// A benchmark with the usual sizes: decode reads well more than the caches hold, prefill is one
  /// long request for each of two batch rows.
  public init(phase: Phase, lengths: Lengths, groupSize: Int) {
    self.phase = phase
    self.lengths = lengths
    self.groupSize = groupSize
    meanLength = phase == .decode ? 2_048 : 1_024
    if phase == .prefill {
      batch = 4
      kvHeads = 2
    }
  }

  /// Phase, spread and group, for a table's first column.
  public var name: String {
    "\(phase.rawValue) \(lengths.rawValue) g\(groupSize)" + (isBatchInvariant ? " invariant" : "")
  }

  /// The whole set: both phases, all spreads, groups of 1, 4 and 8.
  public static var all: [KernelBenchmark] {
    Phase.allCases.flatMap { phase in
      Lengths.allCases.flatMap { lengths in
        [1, 4, 8].map { KernelBenchmark(phase: phase, lengths: lengths, groupSize: $0) }
      }
    }
  }

  /// The machine's best, measured on demand by all threads of a device.
  public struct Probes {
    /// Plain reading of memory, bytes per second.
    public var readBandwidth: () -> Double
    /// Multiply-adds in registers, floating-point operations per second: of pairs of bf16 where
    /// the argument says so.
    public var multiplyAddPeak: (_ pairs: Bool) -> Double

    /// Probes.
    public init(
      readBandwidth: @escaping () -> Double,
      multiplyAddPeak: @escaping (_ pairs: Bool) -> Double
    ) {
      self.readBandwidth = readBandwidth
      self.multiplyAddPeak = multiplyAddPeak
    }
  }

  /// The figures of one benchmark.
  public struct Result: Sendable, Codable {
    /// Phase, spread and group, for a table's first column.
    public var name: String
    /// The stored form of keys and values.
    public var elementType: ElementTypeName
    /// Tokens of a page.
    public var pageSize: Int
    /// Threads of the device.
    public var threads: Int
    /// The device's instruction set.
    public var instructionSet: String
    /// Median seconds of a run.
    public var seconds: Double
    /// Median seconds of planning the batch.
    public var planSeconds: Double
    /// Bytes of keys and values read, each once, by a run.
    public var bytes: Int
    /// Floating-point operations of a run: 4·D for every score that counts.
    public var operations: Double
    /// `bytes / seconds`, in GB/s.
    public var gigabytesPerSecond: Double
    /// `operations / seconds`, in GFLOP/s.
    public var gigaflopsPerSecond: Double
    /// The median probe: GB/s of plain reading (decode) or GFLOP/s of multiply-adds (prefill).
    public var probe: Double
    /// The median over rounds of achieved rate / probe.
    public var ratioToProbe: Double
    /// The share of the bound that applies, the slower of reading and multiplying: 1 is the roof.
    public var ratioToRoof: Double
    /// The plan's longest queue over the mean queue.
    public var imbalance: Double
  }
}
