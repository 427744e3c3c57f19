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
  /// The largest error of the family's kernels, which run on `blocks` blocks.
  let check: (Emulator.Program, CUDAOperators, CPUDevice) throws -> Double

  /// Fewer blocks than rows, so that blocks take several.
  static let blocks = 3
  /// What activations may be.
  static let types: [ElementType] = [.float32, .bfloat16, .float16]

  func operators(_ architecture: CUDAArchitecture) throws -> CUDAOperators {
    try CUDAOperators(family, type: type, storedType: storedType, architecture: architecture)
  }

  static var all: [OperatorCase] {
    types.flatMap { type in
      [norm(type), rotary(type), activation(type), softmax(type), states(type), sampling(type)]
    } + pages + rows + [bits]
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

/// A matrix in memory in some type, NaN between its rows and wherever nothing has been written.
final class Grid {
  let type: ElementType
  let rows, columns, stride: Int
  let buffer: AlignedBuffer

  /// A matrix of NaN.
  init(_ type: ElementType, _ rows: Int, _ columns: Int, padding: Int = 3) {
    (self.type, self.rows, self.columns, stride) = (type, rows, columns, columns + padding)
    buffer = AlignedBuffer(byteCount: max(rows * stride * type.blockBytes, 16))
    for i in 0..<rows * stride { type.store(.nan, i, buffer) }
  }

  /// A matrix of given elements.
  convenience init(
    _ type: ElementType, _ rows: Int, _ columns: Int, padding: Int = 3,
    fill: (_ row: Int, _ column: Int) -> Float
  ) {
    self.init(type, rows, columns, padding: padding)
    for row in 0..<rows {
      for column in 0..<columns { type.store(fill(row, column), row * stride + column, buffer) }
    }
  }

  var address: CUDAAddress {
    CUDAAddress(bits: UInt64(UInt(bitPattern: buffer.bytes.baseAddress)))
  }
  var matrix: CUDAMatrix { CUDAMatrix(address, rows: rows, columns: columns, stride: stride) }

  subscript(row: Int, column: Int) -> Float { type.load(row * stride + column, buffer) }

  /// The same numbers in 32-bit floats, for the processor's operators.
  func floats() -> Grid { Grid(.float32, rows, columns, padding: 0) { self[$0, $1] } }

  /// The processor's view of a grid of floats.
  var view: MatrixView {
    // A buffer is never empty.
    MatrixView(
      buffer.elements(Float.self).baseAddress.unsafelyUnwrapped, rows: rows, columns: columns,
      stride: stride)
  }

  /// The largest difference from another grid, relative to 1 or the expected element; infinite where
  /// one is no number and the other is, or where something has been written between rows.
  func error(_ expected: Grid) -> Double {
    var worst = 0.0
    for row in 0..<rows {
      for column in 0..<stride {
        let found = self[row, column]
        let wanted = column < columns ? expected[row, column] : .nan
        if found == wanted || found.isNaN && wanted.isNaN { continue }
        // Of a padding in int8 there is no NaN.
        if column >= columns && type == .int8 && found == 0 { continue }
        let off = Double(abs(found - wanted)) / max(1, Double(abs(wanted)))
        worst = max(worst, off.isNaN ? .infinity : off)
      }
    }
    return worst
  }
}

/// Lists in memory for the time of a check.
final class Lists {
  private var buffers: [AlignedBuffer] = []

  func callAsFunction<T: BitwiseCopyable>(_ values: [T]) -> CUDAAddress {
    let buffer = AlignedBuffer(byteCount: max(values.count * MemoryLayout<T>.stride, 16))
    buffer.bytes.copyBytes(from: values.withUnsafeBytes { Array($0) })
    buffers.append(buffer)
    return CUDAAddress(bits: UInt64(UInt(bitPattern: buffer.bytes.baseAddress)))
  }

  /// The elements of the list that was made last but `age`.
  func elements<T: BitwiseCopyable>(_ type: T.Type, age: Int = 0) -> UnsafeMutableBufferPointer<T> {
    buffers[buffers.count - 1 - age].elements(type)
  }
}

/// The same numbers on every machine, −1 to 1.
struct Noise {
  private var bits: SplitMix

  init(_ seed: UInt64) { bits = SplitMix(state: seed) }

  mutating func word() -> UInt64 { bits.next() }
  mutating func float() -> Float { Float(bits.next() >> 40) * 0x1p-23 - 1 }
  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in float() } }

  mutating func grid(_ type: ElementType, _ rows: Int, _ columns: Int, padding: Int = 3) -> Grid {
    let values = floats(rows * columns)
    return Grid(type, rows, columns, padding: padding) { values[$0 * columns + $1] }
  }
}
