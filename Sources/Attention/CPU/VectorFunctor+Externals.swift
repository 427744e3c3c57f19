internal import CMicrokernels

extension VectorFunctor.View {
  /// What the functor reads beside its vectors: values of the tokens and external blocks.
  ///
  /// - Parameter block: The vectors, where partners are among the blocks.
  func fillExternals(
    _ block: UnsafeMutablePointer<Float>?, count: Int, _ scratch: VariantScratch,
    _ inputs: VectorFunctor.Inputs, place: (_ token: Int) -> ScorePlace
  ) {
    evaluateTokens(count, scratch, inputs, place)
    for i in 0..<externalCount { fill(external: i, block, count, scratch, inputs, place) }
  }

  /// What the tokens have once; missing tokens of a panel go on counting from the last one.
  private func evaluateTokens(
    _ count: Int, _ scratch: VariantScratch, _ inputs: VectorFunctor.Inputs,
    _ place: (_ token: Int) -> ScorePlace
  ) {
    let lanes = VectorFunctor.tokens
    if tokens.outputCount == 0 { return }
    let first = place(0).kv
    if isCounting, place(count - 1).kv - first == count - 1 {
      for t in 0..<lanes {
        scratch.tokenNumbers[t] = Double(first + t)
        scratch.tokenValues[t] = Float(first + t)
      }
      return
    }
    for t in 0..<count {
      var here = place(t)
      here.dimensionCount = dimension
      tokens.run(at: here, inputs.parameters, scratch.scalars)
      for i in 0..<tokens.outputCount {
        let value = scratch.scalars[tokens.outputs[i]]
        scratch.tokenNumbers[i * lanes + t] = value
        scratch.tokenValues[i * lanes + t] = Float(value)
      }
    }
    for i in 0..<tokens.outputCount {
      for t in count..<max(count, lanes) {
        scratch.tokenNumbers[i * lanes + t] = scratch.tokenNumbers[i * lanes + t - 1] + 1
        scratch.tokenValues[i * lanes + t] = scratch.tokenValues[i * lanes + t - 1]
      }
    }
  }

  private func fill(
    external i: Int, _ block: UnsafeMutablePointer<Float>?, _ count: Int, _ scratch: VariantScratch,
    _ inputs: VectorFunctor.Inputs, _ place: (_ token: Int) -> ScorePlace
  ) {
    let lanes = VectorFunctor.tokens
    let target = scratch.externalBlocks + i * lanes * pitch
    scratch.externals[i] = swa_tile_external(base: target, pitch: isPanel ? lanes : pitch)
    // The element of token t and dimension d lies at t·across + d·along.
    let (across, along) = isPanel ? (1, lanes) : (pitch, 1)
    switch externals[i] {
    case .partner(let partner):
      guard let block else { return }
      // A panel is one run of rows; each row of vectors is a run of elements.
      let width = isPanel ? lanes : 1
      for t in 0..<(isPanel ? 1 : count) {
        inputs.exchange(
          partner, block + t * pitch, dimension, width, target + t * pitch)
      }
    case .table(let number, let index):
      let table = inputs.tables[number]
      let numbers = scratch.tokenNumbers + index * lanes
      if !isPanel { return fillRows(target, table, numbers, count, scratch, inputs) }
      if let first = consecutive(numbers, below: table.capacity) {
        let panel = table.base + first / lanes * lanes * dimension
        if first % lanes == 0 {
          scratch.externals[i].base = panel
        } else {
          inputs.kernels.shift_panel(panel, dimension, first % lanes, target)
        }
        return
      }
      for t in 0..<lanes {
        if let number = entry(of: numbers[t], in: table) {
          let source = table.base + number / lanes * lanes * dimension + number % lanes
          for d in 0..<dimension { target[t + d * lanes] = source[d * lanes] }
        } else {
          compute(table, at: numbers[t], target + t, along: lanes, scratch, inputs)
        }
      }
    case .computed(let program):
      for t in 0..<(isPanel ? lanes : count) {
        var here = place(min(t, count - 1))
        here.dimensionCount = dimension
        for d in 0..<dimension {
          here.dimension = d
          program.run(at: here, inputs.parameters, scratch.scalars)
          target[t * across + d * along] = Float(scratch.scalars[program.outputs[0]])
        }
      }
    }
  }

  /// Rows of a table: those of consecutive numbers together, one of the same number copied.
  private func fillRows(
    _ target: UnsafeMutablePointer<Float>, _ table: PositionTables.View,
    _ numbers: UnsafePointer<Double>, _ count: Int, _ scratch: VariantScratch,
    _ inputs: VectorFunctor.Inputs
  ) {
    let lanes = VectorFunctor.tokens
    // Of pairs that are halves of the vectors the first elements say it all.
    let extent = turn.map { 2 * $0.distance == dimension ? $0.distance : dimension } ?? dimension
    var t = 0
    while t < count {
      let row = target + t * pitch
      var run = 1
      if t > 0, numbers[t] == numbers[t - 1] {
        row.update(from: row - pitch, count: extent)
      } else if let number = entry(of: numbers[t], in: table) {
        let column = number % lanes
        while t + run < count, column + run < lanes, numbers[t + run] == numbers[t] + Double(run) {
          run += 1
        }
        inputs.kernels.unpack_columns(
          table.base + (number - column) * dimension, extent, column, run, row, pitch)
      } else {
        compute(table, at: numbers[t], row, along: 1, scratch, inputs)
      }
      t += run
    }
  }

  /// Where a number stands in a table; nil where it is not in it.
  private func entry(of number: Double, in table: PositionTables.View) -> Int? {
    guard let number = Int(exactly: number), number >= 0, number < table.capacity else {
      return nil
    }
    return number
  }

  /// What a table does not hold.
  private func compute(
    _ table: PositionTables.View, at number: Double, _ target: UnsafeMutablePointer<Float>,
    along: Int, _ scratch: VariantScratch, _ inputs: VectorFunctor.Inputs
  ) {
    var here = ScorePlace()
    here.index = Int(exactly: number) ?? -1
    here.dimensionCount = dimension
    for d in 0..<dimension {
      here.dimension = d
      table.function.run(at: here, inputs.parameters, scratch.scalars)
      target[d * along] = Float(scratch.scalars[table.function.outputs[0]])
    }
  }

  /// The first of sixteen consecutive whole numbers within a table.
  private func consecutive(_ numbers: UnsafePointer<Double>, below capacity: Int) -> Int? {
    for t in 1..<VectorFunctor.tokens where numbers[t] != numbers[0] + Double(t) { return nil }
    guard let first = Int(exactly: numbers[0]), first >= 0,
      first + VectorFunctor.tokens <= capacity
    else { return nil }
    return first
  }
}
