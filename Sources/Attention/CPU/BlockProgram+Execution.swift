internal import CMicrokernels
internal import Devices
internal import Tensors

extension BlockProgram {
  /// The steps at addresses that threads share, and as machine code where they can be.
  final class Executable {
    private let steps = Section<swa_tile_step>()
    private let columnSteps = Section<swa_tile_step>()
    private let pointers = Section<Pointer>()
    private let tokens: ScalarProgram.Executable
    private let code: TileCode?
    private let columnCode: TileCode?
    let registerCount: Int
    let columnCount: Int

    /// - Parameter layout: The memory of its runs, where it is to be compiled.
    init(_ program: BlockProgram, compiledFor layout: TileLayout?) {
      steps.assign(program.steps)
      columnSteps.assign(program.columnSteps)
      pointers.assign(program.pointers)
      tokens = ScalarProgram.Executable(program.tokens)
      registerCount = program.registerCount
      columnCount = program.columnCount
      code = layout.flatMap { layout in
        TileCode(
          program.steps, keeping: program.results.map { $0 + 1 }, layout: layout,
          knowing: program.facts)
      }
      columnCode = layout.flatMap { layout in
        var layout = layout
        layout.registerSize = layout.columnPitch
        let columns = (0..<program.columnCount).map { $0 + 1 }
        return TileCode(
          program.columnSteps, keeping: columns, layout: layout, knowing: program.facts)
      }
    }

    /// A trivial view for a run.
    var view: View {
      View(
        steps: steps.base, count: steps.count, columnSteps: columnSteps.base,
        columnStepCount: columnSteps.count, pointers: pointers.base,
        pointerCount: pointers.count, tokens: tokens.view, registerCount: registerCount,
        code: code?.view, columnCode: columnCode?.view)
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
    let code: TileCode.View?
    let columnCode: TileCode.View?

    @inline(__always)
    var isEmpty: Bool { count == 0 }

    /// Executes the program over a block.
    @inline(__always)
    func run(
      _ memory: inout swa_tile_memory, rows: Int, width: Int, _ kernels: swa_attention_kernels
    ) {
      if let code, code.run(&memory, rows: rows, width: width) { return }
      kernels.run_tile(steps, count, &memory, rows, width)
    }

    /// Makes the columns' vectors, which lie in the memory's registers.
    @inline(__always)
    func runColumns(
      _ memory: inout swa_tile_memory, width: Int, _ kernels: swa_attention_kernels
    ) {
      if let columnCode, columnCode.run(&memory, rows: 1, width: width) { return }
      kernels.run_tile(columnSteps, columnStepCount, &memory, 1, width)
    }
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

  /// Room for the rows of all query tiles that are worked on together; no power of two, so that a row's
  /// values share no cache set.
  static let rowPitch = AttentionWorkspace.mostTilesTogether * AttentionPlan.largestTile + 16
}

/// The memory of all threads for a variant's programs.
final class VariantMemory {
  private let buffers: [AlignedBuffer]
  let scratches: [VariantScratch]

  init(_ needs: VariantCode.Needs, shape: AttentionShape, on device: CPUDevice) {
    let strip = device.attentionKernels.strip
    var buffers: [AlignedBuffer] = []
    var scratches: [VariantScratch] = []
    for _ in 0..<device.pool.count {
      var size = PlanMemory()
      _ = VariantScratch(&size, needs, shape, strip: strip)
      let buffer = AlignedBuffer(byteCount: size.bytes)
      var memory = PlanMemory(buffer.bytes.baseAddress)
      scratches.append(VariantScratch(&memory, needs, shape, strip: strip))
      buffers.append(buffer)
    }
    self.buffers = buffers
    self.scratches = scratches
  }
}

extension VariantScratch {
  fileprivate init(
    _ layout: inout PlanMemory, _ needs: VariantCode.Needs, _ shape: AttentionShape, strip: Int
  ) {
    let dimension = max(shape.headDimension, shape.valueDimension)
    let row = VectorFunctor.pitch(dimension)
    let block = VectorFunctor.tokens * row
    let tile = AttentionWorkspace.scorePitch * strip
    scalars = layout.take(Double.self, needs.scalars)
    registers = layout.take(
      Float.self, max(needs.scoreRegisters * tile, needs.vectorRegisters * block))
    columns = layout.take(
      Float.self, needs.columns * AttentionWorkspace.scorePitch)
    rowValues = layout.take(Float.self, needs.rowValues * Self.rowPitch)
    pointers = layout.take(UnsafeRawPointer?.self, needs.pointers * Self.rowPitch)
    bits = layout.take(Int.self, needs.pointers * Self.rowPitch)
    self.block = layout.take(Float.self, needs.hasVectors ? block : 0)
    externalBlocks = layout.take(Float.self, needs.externals * block)
    externals = layout.take(swa_tile_external.self, needs.externals)
    tokenValues = layout.take(Float.self, needs.tokenValues * VectorFunctor.tokens)
    tokenNumbers = layout.take(Double.self, needs.tokenValues * VectorFunctor.tokens)
    let panels = needs.hasPanels ? AttentionWorkspace.tileKeys * row : 0
    keys = layout.take(Float.self, panels)
    values = layout.take(Float.self, panels)
    queries = layout.take(
      Float.self, needs.hasQueries ? AttentionPlan.largestTile * row : 0)
  }
}
