package import CMicrokernels
import Glibc
internal import Synchronization
internal import Tensors

/// A processor as the engine sees it: an instruction-set level and a pool of workers.
public final class CPUDevice: Sendable {
  /// The level whose microkernels run.
  public let instructionSet: InstructionSet

  /// The threads that work is spread over.
  public let pool: WorkerPool

  /// The microkernels of attention at this level.
  package var attentionKernels: swa_attention_kernels { attention.pointee }

  /// The microkernels of the linear layers at this level.
  package var linearKernels: swa_linear_kernels { linear.pointee }

  // Tables of the C library, which are constants. They are no part of a device: modules that do not see
  // their header, and are not built anew when it changes, know how a device lies in memory.
  nonisolated(unsafe) private let attention: UnsafePointer<swa_attention_kernels>
  nonisolated(unsafe) private let linear: UnsafePointer<swa_linear_kernels>

  /// Whether programs of variants are compiled to machine code, where they can be.
  package let compilesPrograms: Bool

  /// What the workers scribble on.
  package let scratch: WorkerScratch

  /// The rounded activations of the product that runs.
  let roundedRows = Mutex(AlignedBuffer(byteCount: 0))

  /// The packed right factor of the product that runs.
  let packedFactor = Mutex(AlignedBuffer(byteCount: 0))

  /// Where packed weights live.
  package let panelMemory = PanelMemory()

  /// Why a device could not be made.
  public enum Failure: Error, Hashable {
    /// The name is no level.
    case unknownInstructionSet(String)
    /// This processor lacks the level's instructions.
    case unavailableInstructionSet(InstructionSet)
    /// The number of threads is no positive number.
    case threads(String)
    /// The process has loaded no OpenMP runtime.
    case noOpenMP
    /// `ATTENTION_COMPILE` is neither `on` nor `off`.
    case compile(String)
  }

  /// The most threads that a pool is given.
  public static let maximumThreads = 1_024

  /// Makes a device.
  ///
  /// - Parameters:
  ///   - threads: Workers; by default `ATTENTION_THREADS`, else one for every processor this
  ///     process may run on.
  ///   - instructionSet: A level; by default `ATTENTION_ISA`, else the best available.
  ///   - usesOpenMP: Whether workers are threads of the OpenMP runtime that the process has loaded
  ///     for another library, whose settings then say how many there are by default.
  ///   - compilesPrograms: Whether the expressions of attention variants become machine code on a
  ///     processor with AVX-512, or are interpreted; by default `ATTENTION_COMPILE` (`on` or `off`),
  ///     else they are compiled.
  public init(
    threads: Int? = nil, instructionSet: InstructionSet? = nil, usesOpenMP: Bool = false,
    compilesPrograms: Bool? = nil
  ) throws(Failure) {
    let named = try Self.levelFromEnvironment()
    let level = instructionSet ?? named ?? .best
    let compilesByEnvironment = try Self.compilesByEnvironment()
    let compiles = compilesPrograms ?? compilesByEnvironment
    guard let attention = swa_attention_kernels_for(level.code),
      let linear = swa_linear_kernels_for(level.code)
    else { throw .unavailableInstructionSet(level) }
    let asked = try Self.threadsFromEnvironment()
    let team = usesOpenMP ? OpenMPTeam() : nil
    if usesOpenMP && team == nil { throw .noOpenMP }
    let count = threads ?? asked ?? team?.count ?? Self.processorCount
    guard (1...Self.maximumThreads).contains(count) else { throw .threads(String(count)) }
    self.instructionSet = level
    self.compilesPrograms = compiles && level >= .avx512
    self.attention = attention
    self.linear = linear
    pool = team.map { WorkerPool(count: count, on: $0) } ?? WorkerPool(count: count)
    scratch = WorkerScratch(workers: pool.count)
  }

  /// The processors that this process may run on; of several ranks on a machine each has its share.
  private static var processorCount: Int {
    let available = Int(swa_processor_count(0))
    return RankLauncher()?.processors(of: available) ?? available
  }

  private static func environment(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    let text = String(cString: value)
    return text.isEmpty ? nil : text
  }

  private static func levelFromEnvironment() throws(Failure) -> InstructionSet? {
    guard let name = environment("ATTENTION_ISA") else { return nil }
    guard let level = InstructionSet(rawValue: name.lowercased()) else {
      throw .unknownInstructionSet(name)
    }
    return level
  }

  private static func compilesByEnvironment() throws(Failure) -> Bool {
    switch environment("ATTENTION_COMPILE") {
    case nil, "on": return true
    case "off": return false
    case let text?: throw .compile(text)
    }
  }

  private static func threadsFromEnvironment() throws(Failure) -> Int? {
    guard let text = environment("ATTENTION_THREADS") else { return nil }
    guard let count = Int(text) else { throw .threads(text) }
    return count
  }
}

extension CPUDevice.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    let levels = InstructionSet.allCases.map(\.rawValue).joined(separator: ", ")
    let available = InstructionSet.available.map(\.rawValue).joined(separator: ", ")
    return switch self {
    case .unknownInstructionSet(let name):
      "ATTENTION_ISA=\(name) is no instruction set; expected one of \(levels)"
    case .unavailableInstructionSet(let level):
      "this processor has no \(level.rawValue); it has \(available)"
    case .threads(let text):
      "\(text) is no number of threads; expected 1 to \(CPUDevice.maximumThreads)"
    case .compile(let text): "ATTENTION_COMPILE=\(text) is neither on nor off"
    case .noOpenMP: "the process has loaded no OpenMP runtime whose threads could be used"
    }
  }
}
