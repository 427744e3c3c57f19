internal import CMicrokernels

/// A functor on whole vectors, lowered: queries, values and outputs as rows, keys as panels.
final class VectorFunctor {
  /// Tokens that go through a program together: a panel of keys, or as many rows.
  static let tokens = Int(SWA_PANEL_TOKENS)

  /// Floats from row to row of vectors of `dimension` elements.
  static func pitch(_ dimension: Int) -> Int { (dimension + 15) / 16 * 16 }

  /// A block that is filled before the program runs.
  enum External: BitwiseCopyable {
    case partner(Expression.Partner)
    /// The table of this number at the position that output `index` of the tokens gives.
    case table(Int, index: Int)
    /// Every element from scratch, in Double.
    case computed(ScalarProgram.View)
  }

  private let program: BlockProgram
  private let layout: BlockProgram.Layout
  private let dimension: Int
  private let steps = Section<swa_tile_step>()
  private let code: TileCode?
  private let tokenProgram: ScalarProgram.Executable
  private let dimensionValues = Section<Float>()
  private let externals = Section<External>()
  /// Programs of computed externals, kept alive.
  private var computed: [ScalarProgram.Executable] = []
  private var computedScalars = 0
  /// The token's number that each table is read at.
  private var indices: [(expression: Expression, table: Int)] = []

  init(
    _ program: BlockProgram, layout: BlockProgram.Layout, dimension: Int, tables: PositionTables,
    _ data: ParameterData, compiles: Bool
  ) {
    self.program = program
    self.layout = layout
    self.dimension = dimension
    steps.assign(program.steps)
    code =
      compiles
      ? TileCode(
        program.steps, layout: TileLayout(vectorsIn: layout, dimension: dimension),
        knowing: program.facts) : nil
    tokenProgram = ScalarProgram.Executable(program.tokens)
    for source in program.externals {
      switch source {
      case .partner(let partner): externals.append(.partner(partner))
      case .table(let function, let index, let expression):
        let table = tables.number(of: function, dimension: dimension)
        indices.append((expression, table))
        externals.append(.table(table, index: index))
      case .computed(let expression):
        var scalars = ScalarProgram()
        scalars.addOutput(expression)
        let executable = ScalarProgram.Executable(scalars)
        computed.append(executable)
        computedScalars = max(computedScalars, scalars.steps.count)
        externals.append(.computed(executable.view))
      }
    }
    fillDimensionValues(data)
  }

  /// What depends on the dimension alone is computed here, once and for all.
  private func fillDimensionValues(_ data: ParameterData) {
    let pitch = Self.pitch(dimension)
    dimensionValues.fill(0, count: program.dimensions.count * pitch)
    var scalars = ScalarProgram()
    for expression in program.dimensions { scalars.addOutput(expression) }
    let executable = ScalarProgram.Executable(scalars)
    var registers = [Double](repeating: 0, count: max(scalars.steps.count, 1))
    for d in 0..<dimension {
      var place = ScorePlace()
      (place.dimension, place.dimensionCount) = (d, dimension)
      executable.view.run(at: place, data, &registers)
      for (i, output) in scalars.outputs.enumerated() {
        dimensionValues.base[i * pitch + d] = Float(registers[output])
      }
    }
  }

  /// Asks the tables for the positions that a block of places needs.
  func note(_ places: PlaceRange, in tables: PositionTables) {
    for (expression, table) in indices {
      let high = expression.interval(over: places, VariantParameters()).high
      tables.need(high < 0x1p31 ? Int(max(high, -1)) + 1 : places.kvLength.upperBound, of: table)
    }
  }

  /// Whether a token's request decides anything.
  var dependsOnRequest: Bool {
    let positions: [Expression.Position] = [.request, .queryLength, .kvLength]
    return program.tokens.steps.contains { step in
      switch step {
      case .position(let p): positions.contains(p)
      case .tensor(_, let row): row != .only
      default: false
      }
    } || !computed.isEmpty
  }

  /// Whether what becomes of a vector may differ from head to head.
  private var dependsOnHead: Bool {
    program.tokens.steps.contains { step in
      switch step {
      case .position(let p): p == .queryHead || p == .kvHead
      case .perHead, .tensor: true
      default: false
      }
    } || !computed.isEmpty
  }

  var registerCount: Int { program.registerCount }
  /// External blocks held at once: those of all panels of a tile where their pairs are turned.
  var externalCount: Int {
    program.externals.count
      * (program.turn == nil || layout == .rows ? 1 : AttentionWorkspace.tileKeys / Self.tokens)
  }
  var tokenValueCount: Int { program.tokens.outputs.count }
  var scalarCount: Int { max(program.tokens.steps.count, computedScalars) }

  /// What threads need, as long as the functor lives.
  var view: View {
    View(
      steps: steps.base, stepCount: steps.count, code: code?.view, isPanel: layout == .panel,
      dimension: dimension,
      pitch: Self.pitch(dimension), isCounting: program.tokens.steps == [.position(.kv)],
      tokens: tokenProgram.view,
      dimensionValues: dimensionValues.base, externals: externals.base,
      externalCount: externals.count,
      turn: program.turn.map { Turn(distance: $0, dependsOnHead: dependsOnHead) })
  }

  /// What a thread needs to apply a functor.
  ///
  /// - Invariant: Pointers into a `VectorFunctor` that outlives the run.
  struct View {
    let steps: UnsafePointer<swa_tile_step>
    let stepCount: Int
    let code: TileCode.View?
    let isPanel: Bool
    let dimension: Int
    let pitch: Int
    /// Whether the key's position is all that differs from token to token.
    let isCounting: Bool
    let tokens: ScalarProgram.View
    let dimensionValues: UnsafePointer<Float>
    let externals: UnsafePointer<External>
    let externalCount: Int
    /// Where there are no steps but pairs of elements are turned by the two externals.
    let turn: Turn?
  }

  /// How a functor turns pairs (see `PairTurn`).
  struct Turn: BitwiseCopyable {
    let distance: Int
    let dependsOnHead: Bool
  }

  /// Functors that apply one after the other.
  final class Stages {
    let functors: [VectorFunctor]
    private let sections = Section<View>()

    init(_ functors: [VectorFunctor]) {
      self.functors = functors
      for functor in functors { sections.append(functor.view) }
    }

    var dependOnRequest: Bool { functors.contains(where: \.dependsOnRequest) }

    var views: UnsafeBufferPointer<View> { UnsafeBufferPointer(sections.elements) }
  }
}
