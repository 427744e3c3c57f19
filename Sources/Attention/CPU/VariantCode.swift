internal import CMicrokernels
internal import Devices
internal import Tensors

/// A variant lowered for the CPU: every functor as a program, with its tables.
///
/// Made again when the nullable tensors that are bound change.
final class VariantCode {
  /// The nullable parameters that had data.
  let bound: Set<Expression.Nullable>
  let bounds: MaskBounds
  let boundList = Section<MaskBounds.Bound>()
  /// The part of the mask that bounds do not cover.
  let residual: Expression?
  /// The same over intervals, for whole tiles.
  let residualRange: IntervalProgram.Executable?
  /// Logits and residual; logits alone, for tiles in which every score counts.
  let program: BlockProgram.Executable
  let unmasked: BlockProgram.Executable
  /// Whether what rows have once for `unmasked` is the beginning of what they have for `program`.
  let sharesRows: Bool
  let queries: VectorFunctor.Stages
  let keys: VectorFunctor.Stages
  let values: VectorFunctor.Stages
  let outputs: VectorFunctor.Stages
  /// The logits of attention sinks.
  let sinks: ScalarProgram.Executable
  let tables: PositionTables
  let needs: Needs

  /// How much memory a thread needs.
  struct Needs {
    var scalars = 0
    var scoreRegisters = 0
    var vectorRegisters = 0
    var columns = 0
    var rowValues = 0
    var pointers = 0
    var externals = 0
    var tokenValues = 0
    var hasVectors = false
    var hasPanels = false
    var hasQueries = false

    init() {}

    /// What functors on vectors need.
    init(_ functors: [VectorFunctor], _ tables: PositionTables) {
      scalars = (functors.map(\.scalarCount) + [tables.scalarCount]).max() ?? 0
      vectorRegisters = functors.map(\.registerCount).max() ?? 0
      externals = functors.map(\.externalCount).max() ?? 0
      tokenValues = functors.map(\.tokenValueCount).max() ?? 0
      hasVectors = !functors.isEmpty
    }
  }

  init(
    _ variant: AttentionVariant, _ shape: AttentionShape, bound: Set<Expression.Nullable>,
    _ data: ParameterData, on device: CPUDevice
  ) {
    self.bound = bound
    compiles = device.compilesPrograms
    func resolved(_ expression: Expression) -> Expression {
      expression.resolving(variant.parameters, bound: bound)
    }
    bounds = MaskBounds(resolved(variant.maskExpression))
    boundList.assign(bounds.bounds)
    residual = bounds.residual
    let range = residual.map(IntervalProgram.init)
    residualRange = range.map(IntervalProgram.Executable.init)
    let logits = resolved(variant.logitsExpression)
    let masked = BlockProgram(logits: logits, mask: residual)
    let plain = BlockProgram(logits: logits, mask: nil)
    sharesRows =
      masked.tokens.begins(with: plain.tokens) && masked.pointers.starts(with: plain.pointers)
    let layout =
      device.compilesPrograms ? TileLayout(scoresOfStrip: device.attentionKernels.strip) : nil
    program = BlockProgram.Executable(masked, compiledFor: layout)
    unmasked = BlockProgram.Executable(plain, compiledFor: layout)

    let tables = PositionTables(data)
    self.tables = tables
    func stages(_ kind: Functor.Kind, _ layout: BlockProgram.Layout, _ dimension: Int)
      -> VectorFunctor.Stages
    {
      VectorFunctor.Stages(
        variant.functors.filter { $0.kind == kind }.map { functor in
          VectorFunctor(
            BlockProgram(
              vector: resolved(functor.expression), layout: layout, dimension: dimension),
            layout: layout, dimension: dimension, tables: tables, data,
            compiles: device.compilesPrograms)
        })
    }
    queries = stages(.query, .rows, shape.headDimension)
    keys = stages(.key, .panel, shape.headDimension)
    values = stages(.value, .rows, shape.valueDimension)
    outputs = stages(.output, .rows, shape.valueDimension)
    var sinks = ScalarProgram()
    for functor in variant.functors where functor.kind == .sink {
      sinks.addOutput(resolved(functor.expression))
    }
    self.sinks = ScalarProgram.Executable(sinks)

    var needs = Needs([queries, keys, values, outputs].flatMap(\.functors), tables)
    needs.scalars = max(
      needs.scalars, masked.tokens.steps.count, plain.tokens.steps.count, sinks.steps.count,
      2 * (range?.steps.count ?? 0))
    needs.scoreRegisters = max(masked.registerCount, plain.registerCount)
    needs.columns = max(masked.columnCount, plain.columnCount)
    needs.rowValues = masked.tokens.outputs.count + (sharesRows ? 0 : plain.tokens.outputs.count)
    needs.pointers = masked.pointers.count + (sharesRows ? 0 : plain.pointers.count)
    needs.hasPanels = !keys.functors.isEmpty || !values.functors.isEmpty
    needs.hasQueries = !queries.functors.isEmpty
    self.needs = needs
  }

  /// Whether programs are compiled.
  let compiles: Bool

  /// Whether what becomes of keys and values depends on whose they are: requests that share pages
  /// then cannot share a tile.
  var keysDependOnRequest: Bool { keys.dependOnRequest || values.dependOnRequest }

  /// Fills tables for every position that a batch can ask for.
  func reserveTables(
    kvLengths: UnsafeMutableBufferPointer<Int32>, queryLengths: UnsafeMutableBufferPointer<Int32>,
    _ shape: AttentionShape, on device: CPUDevice
  ) {
    if tables.isEmpty { return }
    for (request, (kv, query)) in zip(kvLengths, queryLengths).enumerated() {
      let (kvLength, queryLength) = (Int(kv), Int(query))
      if kvLength == 0 || queryLength == 0 { continue }
      let places = PlaceRange(
        query: kvLength - queryLength...kvLength - 1, kv: 0...kvLength - 1,
        queryHead: 0...shape.queryHeads - 1, kvHead: 0...shape.kvHeads - 1,
        request: request...request, queryLength: queryLength...queryLength,
        kvLength: kvLength...kvLength)
      for functors in [queries, keys, values, outputs] {
        for functor in functors.functors { functor.note(places, in: tables) }
      }
    }
    tables.fill(on: device)
  }
}
