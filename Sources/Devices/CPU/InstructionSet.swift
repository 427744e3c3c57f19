package import CMicrokernels

/// A level of instructions that every microkernel is compiled for.
public enum InstructionSet: String, Sendable, CaseIterable, Comparable {
  /// The compiler's baseline (SSE2 or NEON), 4 floats per vector.
  case portable
  /// AVX2, FMA and F16C, 8 floats per vector.
  case avx2
  /// AVX-512 F, BW, DQ and VL, 16 floats per vector.
  case avx512
  /// AVX-512 with BF16 and VNNI.
  case avx512bf16

  /// The level's number in the C interface.
  package var code: swa_isa {
    switch self {
    case .portable: SWA_ISA_PORTABLE
    case .avx2: SWA_ISA_AVX2
    case .avx512: SWA_ISA_AVX512
    case .avx512bf16: SWA_ISA_AVX512BF16
    }
  }

  /// Whether this processor can run the level.
  public var isAvailable: Bool { swa_isa_available(code) }

  /// The levels this processor can run, slowest first.
  public static var available: [InstructionSet] { allCases.filter(\.isAvailable) }

  /// The fastest level this processor can run.
  public static var best: InstructionSet { available.last ?? .portable }

  /// Levels in the order of their abilities.
  public static func < (a: InstructionSet, b: InstructionSet) -> Bool {
    a.code.rawValue < b.code.rawValue
  }
}
