internal import CMicrokernels

extension VectorFunctor {
  /// What functors read beside vectors and their places.
  struct Inputs {
    let kernels: swa_attention_kernels
    let parameters: ParameterData
    let tables: UnsafePointer<PositionTables.View>
  }
}

extension VectorFunctor.View {
  /// Applies the functor to the vectors of `count` tokens.
  ///
  /// - Parameters:
  ///   - block: A panel, or rows `pitch` apart.
  ///   - place: Where a token stands.
  func apply(
    to block: UnsafeMutablePointer<Float>, count: Int, _ scratch: VariantScratch,
    _ inputs: VectorFunctor.Inputs, place: (_ token: Int) -> ScorePlace
  ) {
    let lanes = VectorFunctor.tokens
    fillExternals(block, count: count, scratch, inputs, place: place)
    if let turn {
      inputs.kernels.f32.turn_keys(
        block, dimension, turn.distance, scratch.externals[0].base, scratch.externals[1].base,
        block, nil)
      return
    }
    var memory = swa_tile_memory()
    memory.block = block
    memory.registers = scratch.registers
    memory.externals = UnsafePointer(scratch.externals)
    if isPanel {
      memory.block_pitch = lanes
      memory.register_pitch = lanes
      memory.register_size = lanes * pitch
      memory.columns = UnsafePointer(scratch.tokenValues)
      memory.column_pitch = lanes
      memory.row_values = dimensionValues
      memory.row_value_pitch = pitch
      inputs.kernels.run_tile(steps, stepCount, &memory, dimension, lanes)
    } else {
      memory.block_pitch = pitch
      memory.register_pitch = pitch
      memory.register_size = lanes * pitch
      memory.columns = dimensionValues
      memory.column_pitch = pitch
      memory.row_values = UnsafePointer(scratch.tokenValues)
      memory.row_value_pitch = lanes
      inputs.kernels.run_tile(steps, stepCount, &memory, count, pitch)
    }
  }

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
      if isPanel, let first = consecutive(numbers, below: table.capacity) {
        let panel = table.base + first / lanes * lanes * dimension
        if first % lanes == 0 {
          scratch.externals[i].base = panel
        } else {
          inputs.kernels.shift_panel(panel, dimension, first % lanes, target)
        }
        return
      }
      for t in 0..<(isPanel ? lanes : count) {
        let number = Int(exactly: numbers[t]) ?? -1
        if number >= 0 && number < table.capacity {
          let source =
            table.base + number / lanes * lanes * dimension + number % lanes
          for d in 0..<dimension { target[t * across + d * along] = source[d * lanes] }
        } else {
          var here = ScorePlace()
          here.index = number
          here.dimensionCount = dimension
          for d in 0..<dimension {
            here.dimension = d
            table.function.run(at: here, inputs.parameters, scratch.scalars)
            target[t * across + d * along] = Float(
              scratch.scalars[table.function.outputs[0]])
          }
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

  /// The first of sixteen consecutive whole numbers within a table.
  private func consecutive(_ numbers: UnsafePointer<Double>, below capacity: Int) -> Int? {
    for t in 1..<VectorFunctor.tokens where numbers[t] != numbers[0] + Double(t) { return nil }
    guard let first = Int(exactly: numbers[0]), first >= 0,
      first + VectorFunctor.tokens <= capacity
    else { return nil }
    return first
  }
}

extension VectorFunctor.Inputs {
  /// The partners of `count` elements of `width` floats each.
  func exchange(
    _ partner: Expression.Partner, _ x: UnsafePointer<Float>, _ count: Int, _ width: Int,
    _ y: UnsafeMutablePointer<Float>
  ) {
    switch partner {
    case .own: y.update(from: x, count: count * width)
    case .neighbour: kernels.swap_neighbours(x, count, width, y)
    case .opposite(let part):
      let half = min(max(part ?? count, 0), count) / 2 * width
      y.update(from: x + half, count: half)
      (y + half).update(from: x, count: half)
      (y + 2 * half).update(from: x + 2 * half, count: count * width - 2 * half)
    }
  }
}
