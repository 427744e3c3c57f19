import Devices
import Tensors

/// A family of operators for some types, and a comparison of its kernels with the processor's
/// operators.
struct OperatorCase {
  let name: String
  let family: CUDAOperators.Family
  let type: ElementType
  var storedType: ElementType?
  /// How far a result may be from the reference, as `Grid.error` measures it.
  let limit: Double
  /// The largest error of the family's kernels.
  let check: (Workbench, CUDAOperators, CPUDevice) throws -> Double

  /// Fewer blocks than rows, so that blocks take several.
  static let blocks = 3
  /// What activations may be.
  static let types: [ElementType] = [.float32, .bfloat16, .float16]

  func operators(_ architecture: CUDAArchitecture) throws -> CUDAOperators {
    try CUDAOperators(family, type: type, storedType: storedType, architecture: architecture)
  }

  /// The largest error of the family's kernels on a device.
  func check(on device: CheckDevice) throws -> Double {
    let operators = try operators(device.context.architecture)
    return try check(Workbench(device, operators), operators, device.host)
  }

  static var all: [OperatorCase] {
    types.flatMap { type in
      [
        norm(type), sums(type), rotary(type), activation(type), softmax(type), states(type),
        sampling(type),
      ]
    } + [norm(.bfloat16, of: .float32), sums(.bfloat16, to: .float32)] + pages + rows + [bits]
  }

  /// What rounding to a type leaves of a result that was right before.
  static func limit(_ type: ElementType) -> Double {
    switch type {
    case .float32: 4e-6
    case .bfloat16: 0x1p-7
    default: 0x1p-10
    }
  }
}

/// The same numbers on every machine, −1 to 1.
struct Noise {
  private var bits: SplitMix

  init(_ seed: UInt64) { bits = SplitMix(state: seed) }

  mutating func word() -> UInt64 { bits.next() }
  mutating func float() -> Float { Float(bits.next() >> 40) * 0x1p-23 - 1 }
  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in float() } }

  mutating func grid(_ bench: Workbench, _ type: ElementType, _ rows: Int, _ columns: Int) -> Grid {
    let values = floats(rows * columns)
    return Grid(bench, type, rows, columns) { values[$0 * columns + $1] }
  }
}
