internal import CMicrokernels
public import Tensors

/// The weights of a linear layer, y = x·Wᵀ + bias, packed for this processor.
///
/// Quantised weights stay quantised: panels keep the stored codes and scales, rearranged so that
/// sixteen outputs are computed side by side. The layout is described in `linear_formats.h`.
public final class LinearWeights: Sendable {
  /// The stored type of the weights.
  public let type: ElementType

  /// The number of outputs, N.
  public let outputs: Int

  /// The number of inputs, K.
  public let inputs: Int

  /// How activations were asked to be treated.
  public let precision: LinearPrecision

  /// The bytes that the packed weights occupy.
  public let byteCount: Int

  /// The device whose pool and microkernels multiply.
  public let device: CPUDevice

  /// Whether a bias is added.
  public var hasBias: Bool { bias != nil }

  let format: swa_format
  let panelBytes: Int
  let memory: PanelMemory.Piece
  let bias: AlignedBuffer?

  /// The number of panels of sixteen outputs.
  var panels: Int { (outputs + Self.panelOutputs - 1) / Self.panelOutputs }

  static let panelOutputs = Int(SWA_PANEL)

  /// The first panel.
  var panelBase: UnsafePointer<UInt8> {
    UnsafePointer(memory.base.assumingMemoryBound(to: UInt8.self))
  }

  /// The bias, padded to whole panels.
  var biasBase: UnsafePointer<Float>? {
    (bias?.bytes.baseAddress).map { UnsafePointer($0.assumingMemoryBound(to: Float.self)) }
  }

  /// The microkernels of the format.
  var kernels: swa_format_kernels { device.linearKernels.formats[Int(format.rawValue)] }

  /// The microkernels for rounded activations, where the precision asks for them and they exist.
  let rounded: swa_rounded_kernels?

  /// Why weights could not be packed.
  public enum Failure: Error, Hashable {
    /// No kernels exist for the type.
    case unsupportedType(ElementType)
    /// A dimension is not positive, or the inputs are no whole number of the type's blocks, or
    /// the size overflows.
    case shape(ElementType, rows: Int, columns: Int)
    /// The bytes are not those of a matrix of this shape.
    case byteCount(expected: Int, found: Int)
    /// The bias has not one element for every output.
    case biasCount(expected: Int, found: Int)
  }

  /// Packs a stored matrix; the bytes are not needed afterwards.
  ///
  /// - Parameters:
  ///   - type: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to Q6_K.
  ///   - rows: Outputs, N ≥ 1.
  ///   - columns: Inputs, K ≥ 1, a multiple of the type's block.
  ///   - bytes: N·K weights, row-major, little-endian, at any alignment.
  ///   - bias: One value for every output, or `nil`.
  ///   - precision: How activations are treated.
  ///   - device: Packs in parallel here, and multiplies later.
  public init(
    _ type: ElementType, rows: Int, columns: Int, bytes: UnsafeRawBufferPointer,
    bias: [Float]? = nil, precision: LinearPrecision = .exact, device: CPUDevice
  ) throws(Failure) {
    guard let stored = type.linearFormat else { throw .unsupportedType(type) }
    guard rows > 0, columns > 0, let rowBytes = type.byteCount(of: columns),
      case let (expected, false) = rowBytes.multipliedReportingOverflow(by: rows),
      expected <= Int.max / 8
    else { throw .shape(type, rows: rows, columns: columns) }
    guard bytes.count == expected, let source = bytes.baseAddress else {
      throw .byteCount(expected: expected, found: bytes.count)
    }
    if let bias, bias.count != rows { throw .biasCount(expected: rows, found: bias.count) }

    // Half-precision weights that meet bfloat16 activations are rounded once, here.
    let isHalved = type == .float16 && precision == .fast && device.hasRounded(SWA_BF16)
    let format = isHalved ? SWA_BF16 : stored
    let unit = swa_format_unit(format)
    let panelBytes = (columns + unit - 1) / unit * swa_format_unit_bytes(format)
    let panels = (rows + Self.panelOutputs - 1) / Self.panelOutputs
    let memory = device.panelMemory.allocate(byteCount: panels * panelBytes)
    self.type = type
    self.precision = precision
    let kernels = device.linearKernels.rounded[Int(format.rawValue)]
    rounded = precision == .fast && kernels.rounding != 0 ? kernels : nil
    self.format = format
    self.device = device
    self.panelBytes = panelBytes
    self.memory = memory
    outputs = rows
    inputs = columns
    byteCount = panels * panelBytes
    self.bias = bias.map { Self.padded($0, to: panels * Self.panelOutputs) }

    device.pool.forEachRange(panels, grain: max(1, (1 << 18) / panelBytes)) { range in
      for panel in range {
        let first = panel * Self.panelOutputs
        let count = min(Self.panelOutputs, rows - first)
        let stored = (source + first * rowBytes).assumingMemoryBound(to: UInt8.self)
        let packed = (memory.base + panel * panelBytes).assumingMemoryBound(to: UInt8.self)
        if isHalved {
          swa_pack_panel_of_halves(stored, rowBytes, count, columns, packed)
        } else {
          swa_pack_panel(format, stored, rowBytes, count, columns, packed)
        }
      }
    }
  }

  /// Whether weights are stored as codes with scales.
  var isQuantised: Bool { kernels.prepare != nil }

  /// Whether linear layers can be stored in a type.
  public static func supports(_ type: ElementType) -> Bool { type.linearFormat != nil }

  private static func padded(_ bias: [Float], to count: Int) -> AlignedBuffer {
    let buffer = AlignedBuffer(byteCount: count * MemoryLayout<Float>.stride)
    _ = buffer.elements(Float.self).update(fromContentsOf: bias)
    return buffer
  }
}

extension CPUDevice {
  /// Whether the level has kernels for rounded activations and weights of a format.
  fileprivate func hasRounded(_ format: swa_format) -> Bool {
    linearKernels.rounded[Int(format.rawValue)].rounding != 0
  }
}

extension ElementType {
  /// The kernels' code of a type that linear layers support.
  var linearFormat: swa_format? {
    switch self {
    case .float32: SWA_F32
    case .float16: SWA_F16
    case .bfloat16: SWA_BF16
    case .q4_0: SWA_Q4_0
    case .q4_1: SWA_Q4_1
    case .q5_0: SWA_Q5_0
    case .q5_1: SWA_Q5_1
    case .q8_0: SWA_Q8_0
    case .q2_K: SWA_Q2_K
    case .q3_K: SWA_Q3_K
    case .q4_K: SWA_Q4_K
    case .q5_K: SWA_Q5_K
    case .q6_K: SWA_Q6_K
    default: nil
    }
  }
}

extension LinearWeights.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .unsupportedType(let type):
      let supported = ElementType.allCases.filter { $0.linearFormat != nil }.map(\.rawValue)
      return "linear weights: no kernels for \(type.rawValue); expected one of "
        + supported.joined(separator: ", ")
    case .shape(let type, let rows, let columns):
      return "linear weights: \(rows) × \(columns) \(type.rawValue) is no shape; expected "
        + "positive sizes, columns a multiple of \(type.blockLength), and a size that fits memory"
    case .byteCount(let expected, let found):
      return "linear weights: expected \(expected) bytes, found \(found)"
    case .biasCount(let expected, let found):
      return "linear weights: expected a bias of \(expected) elements, found \(found)"
    }
  }
}
