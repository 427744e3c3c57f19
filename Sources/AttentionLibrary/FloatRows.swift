internal import Attention
internal import CMicrokernels
package import Devices
package import Tensors

/// A tensor of floats as the engine's operators take it: rows of 32-bit floats.
///
/// 32-bit floats whose rows are adjacent elements at equal distances are used where they lie;
/// everything else is converted into memory of its own, and written back by `store`.
package struct FloatRows {
  /// The rows.
  package let view: MatrixView
  private let tensor: TensorArgument
  private let type: ElementType
  private let isCopy: Bool
  private let device: CPUDevice

  /// What a call does to a tensor.
  package enum Access {
    case read, write, update
  }

  /// - Parameters:
  ///   - trailing: The last axes that make up a row.
  ///   - scratch: Memory to copy into; it must outlive every use of the rows.
  package init(
    _ tensor: TensorArgument, trailing: Int = 1, _ access: Access, on device: CPUDevice,
    _ scratch: Scratch
  ) throws {
    self.tensor = tensor
    self.device = device
    type = try tensor.floatType()
    let leading = max(tensor.rank - trailing, 0)
    let columns = (leading..<tensor.rank).reduce(1) { $0 * tensor.length($1) }
    let rows = (0..<leading).reduce(1) { $0 * tensor.length($1) }
    if type == .float32, tensor.count > 0, tensor.adjacent >= columns,
      let stride = Self.distance(tensor, leading: leading, columns: columns)
    {
      view = MatrixView(
        tensor.base.assumingMemoryBound(to: Float.self), rows: rows, columns: columns,
        stride: stride)
      isCopy = false
      return
    }
    isCopy = true
    view = MatrixView(try scratch.floats(tensor.count), rows: rows, columns: columns)
    if access != .write { load() }
  }

  /// The distance of rows in elements where it is the same for all of them.
  private static func distance(_ tensor: TensorArgument, leading: Int, columns: Int) -> Int? {
    var (distance, rows): (Int?, Int) = (nil, 1)
    for axis in (0..<leading).reversed() where tensor.length(axis) > 1 {
      if let distance, tensor.stride(axis) != distance * rows { return nil }
      if distance == nil { distance = tensor.stride(axis) }
      rows *= tensor.length(axis)
    }
    guard let distance else { return columns }
    return distance >= columns ? distance : nil
  }

  private var floats: UnsafeMutablePointer<Float> { view.base }

  private func load() {
    let kernels = device.attentionKernels[type]
    forEachRun { number, count, step in
      let address = tensor.address(number)
      if step == 1 { return kernels.load_row(address, count, floats + number) }
      for i in 0..<count {
        kernels.load_row(address + i * step * tensor.type.bytes, 1, floats + number + i)
      }
    }
  }

  /// Writes a converted copy back.
  package func store() {
    guard isCopy else { return }
    let kernels = device.attentionKernels[type]
    forEachRun { number, count, step in
      let address = tensor.address(number)
      if step == 1 { return kernels.store_row(floats + number, count, address) }
      for i in 0..<count {
        kernels.store_row(floats + number + i, 1, address + i * step * tensor.type.bytes)
      }
    }
  }

  /// Calls `body` with runs of elements at one distance: (first number, count, distance).
  private func forEachRun(_ body: (Int, Int, Int) -> Void) {
    guard tensor.count > 0 else { return }
    var (run, step) = (tensor.adjacent, 1)
    if run == 1, tensor.columns > 1 { (run, step) = (tensor.columns, tensor.stride(-1)) }
    // A long run is cut, so that threads share it.
    var piece = run
    while piece > 1 << 15, piece % 2 == 0 { piece /= 2 }
    device.pool.forEachRange(tensor.count / piece, grain: max(1 << 14, piece) / piece) { range in
      for i in range { body(i * piece, piece, step) }
    }
  }
}

/// Memory that calls convert tensors into.
///
/// - Invariant: Used by one call at a time, which keeps it alive to its end.
package final class Scratch {
  private var buffers: [AlignedBuffer] = []
  private var taken = 0

  /// No memory yet.
  package init() {}

  /// Begins a call: everything may be taken again.
  func begin() { taken = 0 }

  /// Memory for so many floats, not initialised.
  func floats(_ count: Int) throws -> UnsafeMutablePointer<Float> {
    let bytes = max(count, 16) * MemoryLayout<Float>.stride
    if taken == buffers.count || buffers[taken].bytes.count < bytes {
      guard let buffer = AlignedBuffer(trying: bytes) else { throw CallFailure.memory(bytes) }
      if taken == buffers.count { buffers.append(buffer) } else { buffers[taken] = buffer }
    }
    guard let base = buffers[taken].bytes.baseAddress else { throw CallFailure.memory(bytes) }
    taken += 1
    return base.assumingMemoryBound(to: Float.self)
  }
}

extension TensorArgument {
  /// All elements in row-major order as 32-bit floats.
  func floatList(on device: CPUDevice, _ scratch: Scratch) throws -> [Float] {
    let rows = try FloatRows(self, trailing: rank, .read, on: device, scratch)
    return [Float](UnsafeBufferPointer(start: rows.view.base, count: count))
  }
}
