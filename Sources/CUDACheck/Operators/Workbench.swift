import Devices
import Tensors

/// A family's kernels on a device, and the memory that they share with the processor: what the processor
/// has written is there before a launch, and what a launch has written is here after it.
final class Workbench {
  let operators: CUDAOperators
  private let device: CheckDevice
  private var shared: [(here: AlignedBuffer, there: CUDABuffer)] = []

  init(_ device: CheckDevice, _ operators: CUDAOperators) {
    (self.device, self.operators) = (device, operators)
  }

  /// Where a buffer is on the device; both last as long as the workbench.
  func share(_ buffer: AlignedBuffer) throws -> CUDAAddress {
    if let known = shared.first(where: { $0.here === buffer }) { return known.there.address }
    let there = try device.context.allocate(bytes: buffer.bytes.count)
    shared.append((buffer, there))
    return there.address
  }

  /// Runs a launch to its end, on few blocks.
  func run(_ launch: CUDALaunch) throws {
    var launch = launch
    launch.blocks = OperatorCase.blocks
    for (here, there) in shared {
      try device.stream.copy(UnsafeRawBufferPointer(here.bytes), to: there.address)
    }
    try device.launch(launch, of: operators.source)
    for (here, there) in shared { try device.stream.copy(there.address, to: here.bytes) }
    try device.synchronize()
  }
}

/// A matrix in memory in some type, NaN between its rows and wherever nothing has been written.
final class Grid {
  let type: ElementType
  let rows, columns, stride: Int
  let buffer: AlignedBuffer
  private let bench: Workbench

  /// A matrix of NaN.
  init(_ bench: Workbench, _ type: ElementType, _ rows: Int, _ columns: Int, padding: Int = 3) {
    (self.type, self.rows, self.columns, stride) = (type, rows, columns, columns + padding)
    self.bench = bench
    buffer = AlignedBuffer(byteCount: max(rows * stride * type.blockBytes, 16))
    for i in 0..<rows * stride { type.store(.nan, i, buffer) }
  }

  /// A matrix of given elements.
  convenience init(
    _ bench: Workbench, _ type: ElementType, _ rows: Int, _ columns: Int, padding: Int = 3,
    fill: (_ row: Int, _ column: Int) -> Float
  ) {
    self.init(bench, type, rows, columns, padding: padding)
    for row in 0..<rows {
      for column in 0..<columns { type.store(fill(row, column), row * stride + column, buffer) }
    }
  }

  var address: CUDAAddress { get throws { try bench.share(buffer) } }
  var matrix: CUDAMatrix {
    get throws { CUDAMatrix(try address, rows: rows, columns: columns, stride: stride) }
  }

  subscript(row: Int, column: Int) -> Float { type.load(row * stride + column, buffer) }

  /// The same numbers in 32-bit floats, for the processor's operators.
  func floats() -> Grid { Grid(bench, .float32, rows, columns, padding: 0) { self[$0, $1] } }

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

/// Lists in memory, kept by the workbench.
final class Lists {
  private let bench: Workbench
  private var last: AlignedBuffer?

  init(_ bench: Workbench) { self.bench = bench }

  func callAsFunction<T: BitwiseCopyable>(_ values: [T]) throws -> CUDAAddress {
    let buffer = AlignedBuffer(byteCount: max(values.count * MemoryLayout<T>.stride, 16))
    buffer.bytes.copyBytes(from: values.withUnsafeBytes { Array($0) })
    last = buffer
    return try bench.share(buffer)
  }

  /// The elements of the list that was made last.
  func elements<T: BitwiseCopyable>(_ type: T.Type) -> UnsafeMutableBufferPointer<T> {
    last?.elements(type) ?? UnsafeMutableBufferPointer(start: nil, count: 0)
  }
}
