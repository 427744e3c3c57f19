internal import CMicrokernels
internal import Devices
internal import Tensors

/// Functions of a position and a dimension, as the cosines of rotary embeddings, computed once for
/// each position and kept.
///
/// A table is a sequence of panels `[dimension][16 positions]`, as keys are, so that a panel of keys
/// meets a panel of the table. Values are computed in Double. Tables grow with the longest request.
final class PositionTables {
  /// A table as a run reads it.
  struct View {
    let base: UnsafePointer<Float>
    /// Positions held, a multiple of 16.
    let capacity: Int
    /// The function itself, for other positions.
    let function: ScalarProgram.View
  }

  private final class Table {
    let function: Expression
    let dimension: Int
    let program: ScalarProgram
    let executable: ScalarProgram.Executable
    /// Steps that depend on the position; the others are done once a dimension.
    let dependent: [Int]
    /// Registers that the others leave for them.
    let inherited: [Int]
    var memory = AlignedBuffer(byteCount: 64)
    var capacity = 0
    var needed = 0

    init(_ function: Expression, dimension: Int) {
      self.function = function
      self.dimension = dimension
      var program = ScalarProgram()
      _ = program.output(function)
      self.program = program
      executable = ScalarProgram.Executable(program)
      (dependent, inherited) = program.steps(dependingOn: .index)
    }
  }

  /// The vectors over dimensions that functions may read.
  private let parameters: ParameterData
  private var tables: [Table] = []
  private let data: Section<View> = Section()
  /// The most registers that a function needs.
  private(set) var scalarCount = 0

  init(_ parameters: ParameterData) { self.parameters = parameters }

  var isEmpty: Bool { tables.isEmpty }
  var views: UnsafePointer<View> { UnsafePointer(data.base) }

  /// The number of the table of a function of `index` and `dimension`.
  func number(of function: Expression, dimension: Int) -> Int {
    if let i = tables.firstIndex(where: { $0.function == function && $0.dimension == dimension }) {
      return i
    }
    let table = Table(function, dimension: dimension)
    tables.append(table)
    scalarCount = max(scalarCount, table.program.steps.count)
    publish()
    return tables.count - 1
  }

  /// The longest table: later positions are computed when they are met.
  private static let limit = 1 << 21

  /// Asks for positions below `count`.
  func need(_ count: Int, of table: Int) {
    tables[table].needed = max(tables[table].needed, min(count, Self.limit))
  }

  /// Computes what was asked for and is not there yet.
  func fill(on device: CPUDevice) {
    var hasGrown = false
    for table in tables where table.needed > table.capacity {
      // Some more, so that a growing request does not ask at every step.
      let tokens = Int(SWA_PANEL_TOKENS)
      let wanted = table.needed + min(table.needed / 4, 256)
      let panels = (wanted + tokens - 1) / tokens + 1
      let old = table.capacity / tokens
      let panelSize = tokens * table.dimension
      let memory = AlignedBuffer(byteCount: (panels + 1) * panelSize * 4)
      let base = memory.elements(Float.self).baseAddress.unsafelyUnwrapped
      base.update(
        from: table.memory.elements(Float.self).baseAddress.unsafelyUnwrapped,
        count: old * panelSize)
      (base + panels * panelSize).update(repeating: 0, count: panelSize)
      let (function, parameters, dimension) = (table.executable.view, parameters, table.dimension)
      let (dependent, sources) = (table.dependent, sources(table))
      device.pool.forEachRange(panels - old, grain: 8) { range in
        withUnsafeTemporaryAllocation(of: Double.self, capacity: max(function.count, 1)) {
          registers in
          guard let registers = registers.baseAddress else { return }
          Self.compute(
            old + range.lowerBound..<old + range.upperBound, function, dependent, sources,
            dimension: dimension, parameters, registers, base)
        }
      }
      table.memory = memory
      table.capacity = panels * tokens
      hasGrown = true
    }
    if hasGrown { publish() }
  }

  /// For each dimension, the first one with the same values at all positions.
  private func sources(_ table: Table) -> [Int] {
    var registers = [Double](repeating: 0, count: max(table.program.steps.count, 1))
    var first: [[UInt64]: Int] = [:]
    return (0..<table.dimension).map { d in
      var place = ScorePlace()
      (place.dimension, place.dimensionCount) = (d, table.dimension)
      table.executable.view.run(at: place, parameters, &registers)
      let values = table.inherited.map { registers[$0].bitPattern }
      if let source = first[values] { return source }
      first[values] = d
      return d
    }
  }

  private static func compute(
    _ panels: Range<Int>, _ function: ScalarProgram.View, _ dependent: [Int], _ sources: [Int],
    dimension: Int, _ parameters: ParameterData, _ registers: UnsafeMutablePointer<Double>,
    _ base: UnsafeMutablePointer<Float>
  ) {
    let tokens = Int(SWA_PANEL_TOKENS)
    let output = function.outputs[0]
    for (d, source) in sources.enumerated() {
      var place = ScorePlace()
      (place.dimension, place.dimensionCount) = (d, dimension)
      if source == d { function.run(at: place, parameters, registers) }
      for panel in panels {
        let row = base + (panel * dimension + d) * tokens
        if source != d {
          row.update(from: base + (panel * dimension + source) * tokens, count: tokens)
          continue
        }
        for t in 0..<tokens {
          place.index = panel * tokens + t
          for i in dependent { function.step(i, at: place, parameters, registers) }
          row[t] = Float(registers[output])
        }
      }
    }
  }

  private func publish() {
    data.removeAll()
    for table in tables {
      data.append(
        View(
          base: UnsafePointer(table.memory.elements(Float.self).baseAddress.unsafelyUnwrapped),
          capacity: table.capacity, function: table.executable.view))
    }
  }
}
