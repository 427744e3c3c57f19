internal import CMicrokernels
internal import Devices
internal import Tensors

extension BlockProgram {
  /// The steps at addresses that threads share.
  final class Executable {
    private let steps = Section<swa_tile_step>()
    private let columnSteps = Section<swa_tile_step>()
    private let pointers = Section<Pointer>()
    private let tokens: ScalarProgram.Executable
    let registerCount: Int
    let columnCount: Int

    init(_ program: BlockProgram) {
      steps.assign(program.steps)
      columnSteps.assign(program.columnSteps)
      pointers.assign(program.pointers)
      tokens = ScalarProgram.Executable(program.tokens)
      registerCount = program.registerCount
      columnCount = program.columnCount
    }

    /// A trivial view for a run.
    var view: View {
      View(
        steps: steps.base, count: steps.count, columnSteps: columnSteps.base,
        columnStepCount: columnSteps.count, pointers: pointers.base,
        pointerCount: pointers.count, tokens: tokens.view, registerCount: registerCount)
    }
  }

  /// What a thread needs to execute a program over scores.
  ///
  /// - Invariant: Pointers into an `Executable` that outlives the run.
  struct View {
    let steps: UnsafePointer<swa_tile_step>
    let count: Int
    let columnSteps: UnsafePointer<swa_tile_step>
    let columnStepCount: Int
    let pointers: UnsafePointer<Pointer>
    let pointerCount: Int
    let tokens: ScalarProgram.View
    let registerCount: Int

    @inline(__always)
    var isEmpty: Bool { count == 0 }
  }
}

/// A thread's memory for a variant's programs.
///
/// - Invariant: Pointers into a `VariantMemory`, disjoint.
struct VariantScratch {
  /// Registers of scalar programs.
  var scalars: UnsafeMutablePointer<Double>
  /// Registers of block programs, and the vectors of their columns.
  var registers: UnsafeMutablePointer<Float>
  var columns: UnsafeMutablePointer<Float>
  /// Row values of scores, `rowPitch` floats each: those of the masked program, then of the other.
  var rowValues: UnsafeMutablePointer<Float>
  var pointers: UnsafeMutablePointer<UnsafeRawPointer?>
  var bits: UnsafeMutablePointer<Int>

  /// A block of vectors in float, its external blocks and the values of its tokens.
  var block: UnsafeMutablePointer<Float>
  var externalBlocks: UnsafeMutablePointer<Float>
  var externals: UnsafeMutablePointer<swa_tile_external>
  var tokenValues: UnsafeMutablePointer<Float>
  var tokenNumbers: UnsafeMutablePointer<Double>
  /// All keys and values of a tile as panels of floats.
  var keys: UnsafeMutablePointer<Float>
  var values: UnsafeMutablePointer<Float>
  /// All queries of a tile after their functor.
  var queries: UnsafeMutablePointer<Float>

  /// The rows of a query tile.
  static let rowPitch = AttentionPlan.largestTile
}

/// The memory of all threads for a variant's programs.
final class VariantMemory {
  private let buffers: [AlignedBuffer]
  let scratches: [VariantScratch]

  init(_ code: VariantCode, shape: AttentionShape, on device: CPUDevice) {
    let strip = device.attentionKernels.strip
    var buffers: [AlignedBuffer] = []
    var scratches: [VariantScratch] = []
    for _ in 0..<device.pool.count {
      var layout = Scratch.Layout()
      _ = VariantScratch(&layout, base: nil, code, shape, strip: strip)
      let memory = AlignedBuffer(byteCount: layout.bytes)
      layout = Scratch.Layout()
      scratches.append(
        VariantScratch(&layout, base: memory.bytes.baseAddress, code, shape, strip: strip))
      buffers.append(memory)
    }
    self.buffers = buffers
    self.scratches = scratches
  }
}

extension VariantScratch {
  fileprivate init(
    _ layout: inout Scratch.Layout, base: UnsafeMutableRawPointer?, _ code: VariantCode,
    _ shape: AttentionShape, strip: Int
  ) {
    let needs = code.needs
    let dimension = max(shape.headDimension, shape.valueDimension)
    let row = VectorFunctor.pitch(dimension)
    let block = VectorFunctor.tokens * row
    let tile = AttentionWorkspace.scorePitch * strip
    scalars = layout.take(Double.self, needs.scalars, of: base)
    registers = layout.take(
      Float.self, max(needs.scoreRegisters * tile, needs.vectorRegisters * block), of: base)
    columns = layout.take(
      Float.self, needs.columns * AttentionWorkspace.scorePitch, of: base)
    rowValues = layout.take(Float.self, needs.rowValues * Self.rowPitch, of: base)
    pointers = layout.take(UnsafeRawPointer?.self, needs.pointers * Self.rowPitch, of: base)
    bits = layout.take(Int.self, needs.pointers * Self.rowPitch, of: base)
    self.block = layout.take(Float.self, needs.hasVectors ? block : 0, of: base)
    externalBlocks = layout.take(Float.self, needs.externals * block, of: base)
    externals = layout.take(swa_tile_external.self, needs.externals, of: base)
    tokenValues = layout.take(Float.self, needs.tokenValues * VectorFunctor.tokens, of: base)
    tokenNumbers = layout.take(Double.self, needs.tokenValues * VectorFunctor.tokens, of: base)
    let panels = needs.hasPanels ? AttentionWorkspace.tileKeys * row : 0
    keys = layout.take(Float.self, panels, of: base)
    values = layout.take(Float.self, panels, of: base)
    queries = layout.take(
      Float.self, needs.hasQueries ? AttentionPlan.largestTile * row : 0, of: base)
  }
}
