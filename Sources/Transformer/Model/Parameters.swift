internal import Devices
internal import Tensors
import Glibc

/// A run of floats in the order of a layout: a model's weights, their gradient, or Adam's moments.
///
/// One allocation, so that clipping, Adam, averaging and sums over ranks are one pass each.
///
/// - Invariant: Whoever writes elements sees to it that nobody reads them meanwhile.
public final class Parameters: @unchecked Sendable {
  /// What lies where.
  public let layout: ParameterLayout
  private let memory: AlignedBuffer

  /// All zero.
  public init(_ layout: ParameterLayout) {
    self.layout = layout
    memory = AlignedBuffer(byteCount: max(layout.count, 1) * MemoryLayout<Float>.stride)
  }

  /// A copy.
  public convenience init(copying other: Parameters) {
    self.init(other.layout)
    _ = elements.update(fromContentsOf: other.elements)
  }

  /// All elements, padding (always 0) included.
  public var elements: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(rebasing: memory.elements(Float.self)[0..<layout.count])
  }

  /// The elements of one parameter.
  public func elements(of entry: ParameterLayout.Entry) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(
      rebasing: memory.elements(Float.self)[entry.offset..<entry.offset + entry.count])
  }

  /// The address of a parameter.
  func base(_ offset: Int) -> UnsafeMutablePointer<Float> {
    memory.elements(Float.self).baseAddress.unsafelyUnwrapped + offset
  }

  /// A parameter, or rows of it, as a matrix.
  func matrix(_ offset: Int, _ rows: Int, _ columns: Int, from row: Int = 0) -> MatrixView {
    MatrixView(base(offset) + row * columns, rows: rows, columns: columns)
  }

  /// Sets everything to 0.
  public func clear() { elements.update(repeating: 0) }

  /// Draws a model's initial weights; the same seed gives the same ones everywhere.
  public func initialize(seed: UInt64) {
    let random = CounterRandom(seed: seed)
    for (number, entry) in layout.entries.enumerated() {
      let target = elements(of: entry)
      switch entry.start {
      case .zeros: target.update(repeating: 0)
      case .ones: target.update(repeating: 1)
      case .glorot:
        // The three projections of an attention are matrices of their own.
        let outputs = entry.name.hasSuffix("in_proj_weight") ? entry.rows / 3 : entry.rows
        let bound = (6 / Double(entry.columns + outputs)).squareRoot()
        for i in target.indices {
          target[i] = Float((2 * random.uniform(UInt64(i), draw: UInt32(number)) - 1) * bound)
        }
      case .normal(let deviation):
        for i in target.indices {
          // Box–Muller.
          let words = random.words(UInt64(i), draw: UInt32(number))
          let radius = (-2 * log((Double(words[0]) + 0.5) * 0x1p-32)).squareRoot()
          target[i] = deviation * Float(radius * cos(2 * .pi * Double(words[1]) * 0x1p-32))
        }
      }
    }
  }
}
