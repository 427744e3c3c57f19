internal import CMicrokernels
internal import Devices
internal import Synchronization
public import Tensors

extension DifferentiableAttention {
  /// Attention of the planned batch, with what `backward` will need.
  ///
  /// - Parameters:
  ///   - queries: `queryCount × (queryHeads · headDimension)`, head after head.
  ///   - keys: `keyCount × (kvHeads · headDimension)`.
  ///   - values: `keyCount × (kvHeads · valueDimension)`.
  ///   - output: `queryCount × (queryHeads · valueDimension)`; written, not read.
  ///   - lse: `queryCount × queryHeads`, natural logarithms; written, not read. A query that
  ///     attends to nothing has output 0 and −∞ here. Not for a variant without softmax.
  public func forward(
    queries: MatrixView, keys: MatrixView, values: MatrixView, output: MatrixView,
    lse: MatrixView? = nil
  ) throws(Failure) {
    try check(queries: queries, keys: keys, values: values, output: output, lse: lse)
    guard queryCount > 0 else { return }
    if let missing = plan.parameters.missing { throw .plan(.variant(.unbound(missing))) }
    let data = plan.parameters.data
    try attend(
      queries: vectors?.transformed(queries, .query, data, on: device) ?? queries,
      keys: vectors?.transformed(keys, .key, data, on: device) ?? keys,
      values: vectors?.transformed(values, .value, data, on: device) ?? values,
      output: output, lse: lse)
    vectors?.transform(output, .output, data, on: device)
  }

  /// Attention without functors on vectors.
  private func attend(
    queries: MatrixView, keys: MatrixView, values: MatrixView, output: MatrixView, lse: MatrixView?
  ) throws(Failure) {
    let cache = try forwardKeys.cache(keys: keys, values: values, on: device)
    do {
      try plan.run(queries: queries, cache: cache, output: output, lse: lse.map { .natural($0) })
    } catch {
      throw .plan(error)
    }
  }

  /// The gradient of a loss by queries, keys, values and the variant's parameters.
  ///
  /// Everything that no score touches has a gradient of exactly 0.
  ///
  /// - Parameters:
  ///   - queries: As given to `forward`.
  ///   - keys: As given to `forward`.
  ///   - values: As given to `forward`.
  ///   - output: As `forward` left it.
  ///   - lse: As `forward` left it; not for a variant without softmax.
  ///   - outputGradient: The loss's gradient by `output`, of its shape.
  ///   - lseGradient: The loss's gradient by `lse`, of its shape, where it depends on it.
  ///   - queryGradient: Of the shape of `queries`; written, not read.
  ///   - keyGradient: Of the shape of `keys`; written, not read.
  ///   - valueGradient: Of the shape of `values`; written, not read.
  /// - Returns: The gradient by the variant's parameters; 0 throughout where attention was made
  ///   without it.
  @discardableResult
  public func backward(
    queries: MatrixView, keys: MatrixView, values: MatrixView, output: MatrixView,
    lse: MatrixView? = nil, outputGradient: MatrixView, lseGradient: MatrixView? = nil,
    queryGradient: MatrixView, keyGradient: MatrixView, valueGradient: MatrixView
  ) throws(Failure) -> ParameterGradient {
    try check(queries: queries, keys: keys, values: values, output: output, lse: lse)
    try check(outputGradient, "output gradient", rows: queryCount, columns: output.columns)
    if let lseGradient {
      if lse == nil { throw .logSumExp(variant.name, isNeeded: false) }
      try check(lseGradient, "log-sum-exp gradient", rows: queryCount, columns: shape.queryHeads)
    }
    try check(queryGradient, "query gradient", rows: queryCount, columns: queries.columns)
    try check(keyGradient, "key gradient", rows: keyCount, columns: keys.columns)
    try check(valueGradient, "value gradient", rows: keyCount, columns: values.columns)
    if let missing = plan.parameters.missing { throw .plan(.variant(.unbound(missing))) }
    let data = plan.parameters.data
    var gradient = ParameterGradient(of: variant, queryHeads: shape.queryHeads)
    let given = (queries: queries, keys: keys, values: values)
    let queries = vectors?.transformed(queries, .query, data, on: device) ?? queries
    let keys = vectors?.transformed(keys, .key, data, on: device) ?? keys
    let values = vectors?.transformed(values, .value, data, on: device) ?? values
    var (output, outputGradient) = (output, outputGradient)
    if let vectors, let inner = vectors.innerOutput, queryCount > 0 {
      // What the output functors were given is not kept from the forward pass, but made again.
      try attend(queries: queries, keys: keys, values: values, output: inner, lse: nil)
      outputGradient = vectors.copy(outputGradient, .output)
      vectors.pullBack(outputGradient, from: inner, .output, data, on: device, &gradient)
      output = inner
    }
    let pass = BackwardPass(
      kernels: device.attentionKernels, shape: shape, group: shape.groupSize,
      scale: variant.scale(for: shape), queries: queries,
      keys: keys, values: values, output: output, lse: lse, outputGradient: outputGradient,
      lseGradient: lseGradient, queryGradient: queryGradient, keyGradient: keyGradient,
      valueGradient: valueGradient, queryOffsets: queryOffsets.base, keyOffsets: keyOffsets.base,
      bounds: plan.code.boundList.base, boundCount: plan.code.boundList.count,
      residual: plan.code.residual, usesSoftmax: variant.usesSoftmax, data: plan.parameters.data,
      masked: programs.masked.view, unmasked: programs.unmasked.view, hasSlope: programs.hasSlope,
      scoreParameters: programs.scoreParameters.base,
      scoreParameterCount: programs.scoreParameters.count, sinks: programs.sinks.view,
      parameterCount: programs.parameters.count, scratches: workspace.scratches.base,
      partials: workspace.partials.bytes.baseAddress.unsafelyUnwrapped
        .assumingMemoryBound(to: Float.self),
      sums: workspace.sums.bytes.baseAddress.unsafelyUnwrapped
        .assumingMemoryBound(to: Double.self))
    let (units, merges) = (schedule.units, schedule.merges)
    // Whoever is free takes the next unit: which thread works on one does not show in its result.
    let next = Atomic<Int>(0)
    device.pool.forkJoin { worker in
      while true {
        let unit = next.add(1, ordering: .relaxed).oldValue
        guard unit < units.count else { return }
        pass.run(units[unit], pass.scratches[worker])
      }
    }
    device.pool.forEachRange(merges.count, grain: 1) { range in
      for i in range { pass.merge(merges[i]) }
    }
    add(pass, to: &gradient)
    vectors?.pullBack(queryGradient, from: given.queries, .query, data, on: device, &gradient)
    vectors?.pullBack(keyGradient, from: given.keys, .key, data, on: device, &gradient)
    vectors?.pullBack(valueGradient, from: given.values, .value, data, on: device, &gradient)
    return gradient
  }

  /// The units' derivatives by parameters, added up in the order of requests, heads and keys.
  private func add(_ pass: BackwardPass, to gradient: inout ParameterGradient) {
    for unit in schedule.units.sorted(by: { $0.number < $1.number }) {
      for (p, parameter) in programs.parameters.enumerated() {
        for member in 0..<pass.group {
          let sum = pass.sums[(unit.number * pass.parameterCount + p) * pass.group + member]
          switch parameter {
          case .scalar(let i): gradient.scalars[i] += sum
          case .perHead(let i): gradient.vectors[i][unit.head * pass.group + member] += sum
          }
        }
      }
    }
  }

  private func check(
    queries: MatrixView, keys: MatrixView, values: MatrixView, output: MatrixView,
    lse: MatrixView?
  ) throws(Failure) {
    if (lse != nil) != variant.usesSoftmax {
      throw .logSumExp(variant.name, isNeeded: variant.usesSoftmax)
    }
    try check(
      queries, "queries", rows: queryCount, columns: shape.queryHeads * shape.headDimension)
    try check(keys, "keys", rows: keyCount, columns: shape.kvHeads * shape.headDimension)
    try check(values, "values", rows: keyCount, columns: shape.kvHeads * shape.valueDimension)
    try check(
      output, "output", rows: queryCount, columns: shape.queryHeads * shape.valueDimension)
    if let lse { try check(lse, "log-sum-exp", rows: queryCount, columns: shape.queryHeads) }
  }
}
