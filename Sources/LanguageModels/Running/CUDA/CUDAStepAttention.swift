import Attention
import Devices
import Tensors

/// Attention of the steps within some bounds, for each kind of layers, and the step's other inputs.
///
/// A step is one copy for each kind. Everything lies at the same places for all steps, so that what has
/// been captured of one serves others.
final class CUDAStepAttention {
  /// For each kind of attention.
  let kinds: [CUDAAttention]
  /// The most rows of a step.
  let rows: Int
  /// Where the rows' and the draws' numbers lie.
  let inputs: CUDAStepInputs

  /// Takes all memory that steps within the bounds need.
  ///
  /// - Parameters:
  ///   - variants: For each kind of attention.
  ///   - draws: The most tokens that a step draws.
  ///   - tileRows: The rows of a sequence that the kernels' tiles should suit.
  ///   - dataBytes: The most that a step's masks take.
  init(
    _ variants: [AttentionVariant], _ configuration: ModelConfiguration, type: ElementType,
    options: BatchRunner.Options, bounds: AttentionBounds, draws: Int, tileRows: Int,
    dataBytes: Int = 0, on device: CUDADevice, host: CPUDevice
  ) throws {
    rows = bounds.queryRows
    let inputs = CUDAStepInputs(rows: rows, draws: draws)
    self.inputs = inputs
    kinds = try variants.map { variant in
      try CUDAAttention(
        device.context, host: host, shape: configuration.attentionShape, variant: variant,
        queryType: type, storedType: options.kvType, bounds: bounds, tileRows: tileRows,
        composition: options.composition, dataBytes: dataBytes, inputBytes: inputs.byteCount
      ) { source throws(CUDAFailure) in try device.module(source) }
    }
  }

  /// Where the first list of the step's numbers lies on the device, and where another one does.
  var base: CUDAAddress { kinds[0].inputs }
  func address(of list: CUDAStepInputs.List) -> CUDAAddress {
    base.advanced(by: inputs.offset(of: list))
  }

  /// Plans a step and sends it to the device.
  ///
  /// - Parameters:
  ///   - rows: As many as the layers compute.
  ///   - places: Where its draws are made.
  ///   - last: Where those of the step before were.
  func update(
    _ step: ModelStep, rows: Int, drawing places: DrawPlaces, after last: DrawPlaces,
    on stream: CUDAStream
  ) throws {
    for (i, attention) in kinds.enumerated() {
      try attention.update(step.batch, on: stream) { memory in
        guard i == 0 else { return }
        inputs.write(step, rows: rows, drawing: places, after: last, to: memory)
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
