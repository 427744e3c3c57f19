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
    fillExternals(block, count: count, scratch, inputs, place: place)
    change(block, count: count, scratch, inputs)
  }

  /// The same where the functor's externals lie ready.
  func change(
    _ block: UnsafeMutablePointer<Float>, count: Int, _ scratch: VariantScratch,
    _ inputs: VectorFunctor.Inputs
  ) {
    if let turn { return self.turn(block, by: turn.distance, count, scratch, inputs.kernels) }
    let lanes = VectorFunctor.tokens
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
      run(&memory, rows: dimension, width: lanes, inputs.kernels)
    } else {
      memory.block_pitch = pitch
      memory.register_pitch = pitch
      memory.register_size = lanes * pitch
      memory.columns = dimensionValues
      memory.column_pitch = pitch
      memory.row_values = UnsafePointer(scratch.tokenValues)
      memory.row_value_pitch = lanes
      run(&memory, rows: count, width: pitch, inputs.kernels)
    }
  }

  private func run(
    _ memory: inout swa_tile_memory, rows: Int, width: Int, _ kernels: swa_attention_kernels
  ) {
    if let code, code.run(&memory, rows: rows, width: width) { return }
    kernels.run_tile(steps, stepCount, &memory, rows, width)
  }

  private func turn(
    _ block: UnsafeMutablePointer<Float>, by distance: Int, _ count: Int, _ scratch: VariantScratch,
    _ kernels: swa_attention_kernels
  ) {
    let (c, s) = (scratch.externals[0].base, scratch.externals[1].base)
    if isPanel { return kernels.f32.turn_keys(block, dimension, distance, c, s, block, nil) }
    guard let c, let s else { return }
    for t in stride(from: 0, to: count * pitch, by: pitch) {
      kernels.turn_row(block + t, dimension, distance, c + t, s + t, block + t)
    }
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
