import Attention
import Devices
import Tensors

/// Attention of the steps within some bounds, for each kind of layers, and the step's other inputs:
/// token, position and slot of every row.
///
/// A step is one copy for each kind. Everything lies at the same places for all steps, so that what has
/// been captured of one serves others.
final class CUDAStepAttention {
  /// For each kind of attention.
  let kinds: [CUDAAttention]
  /// The most rows of a step.
  let rows: Int
  /// The bytes of the rows' numbers of one sort.
  private let section: Int

  /// Takes all memory that steps within the bounds need.
  ///
  /// - Parameters:
  ///   - variants: For each kind of attention.
  ///   - tileRows: The rows of a sequence that the kernels' tiles should suit.
  ///   - dataBytes: The most that a step's masks take.
  init(
    _ variants: [AttentionVariant], _ configuration: ModelConfiguration, type: ElementType,
    options: BatchRunner.Options, bounds: AttentionBounds, tileRows: Int, dataBytes: Int = 0,
    on device: CUDADevice, host: CPUDevice
  ) throws {
    rows = bounds.queryRows
    let section = (rows * MemoryLayout<Int32>.stride + 255) / 256 * 256
    self.section = section
    kinds = try variants.map { variant in
      try CUDAAttention(
        device.context, host: host, shape: configuration.attentionShape, variant: variant,
        queryType: type, storedType: options.kvType, bounds: bounds, tileRows: tileRows,
        composition: options.composition, dataBytes: dataBytes, inputBytes: 3 * section
      ) { source throws(CUDAFailure) in try device.module(source) }
    }
  }

  /// Where the rows' tokens, positions and slots lie on the device, 32-bit integers.
  var tokens: CUDAAddress { kinds[0].inputs }
  var positions: CUDAAddress { tokens.advanced(by: section) }
  var slots: CUDAAddress { tokens.advanced(by: 2 * section) }

  /// Plans a step and sends it to the device.
  ///
  /// - Parameter rows: As many as the layers compute; those that the step does not have are stored nowhere.
  func update(_ step: ModelStep, rows: Int, on stream: CUDAStream) throws {
    let lists = [step.tokens, step.positions.map { Int32($0) }, step.slots.map { Int32($0) }]
    for (i, attention) in kinds.enumerated() {
      try attention.update(step.batch, on: stream) { memory in
        guard i == 0 else { return }
        for (part, (list, filler)) in zip(lists, [Int32(0), 0, -1]).enumerated() {
          let place = UnsafeMutableRawBufferPointer(rebasing: memory[(part * section)...])
            .bindMemory(to: Int32.self)
          for row in 0..<rows { place[row] = row < list.count ? list[row] : filler }
        }
      }
    }
  }

  /// Plans the branching drafts of a step, whose inputs lie with the other rows'.
  func update(_ trees: SpeculationBatch, on stream: CUDAStream) throws {
    var tensors = VariantTensors()
    tensors[mask: "tree"] = trees.mask.bytes
    for attention in kinds { try attention.update(trees.batch, tensors: tensors, on: stream) }
  }
}
