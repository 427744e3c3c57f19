internal import CMicrokernels

// The five products of a tile.
extension BackwardPass {
  /// X = Q·(scale·K)ᵀ and dP = dO·Vᵀ.
  func recomputeScores(_ work: UnitWork, _ tile: GradientTile) {
    let (scratch, first) = (work.scratch, tile.columns.lowerBound)
    let (group, pitch) = (Int(SWA_PRODUCT_GROUP), GradientWorkspace.scorePitch)
    let keyHeight = GradientWorkspace.panelHeight(headDimension)
    kernels.gradient.product_rows(
      scratch.queries, headPitch, scratch.keyPanels + first * keyHeight, group, group * keyHeight,
      tile.rows, tile.columns.count, headDimension, scratch.scores + first, pitch, false)
    let valueHeight = GradientWorkspace.panelHeight(valueDimension)
    kernels.gradient.product_rows(
      scratch.outputGradients, valuePitch, scratch.valuePanels + first * valueHeight, group,
      group * valueHeight, tile.rows, tile.columns.count, valueDimension,
      scratch.scoreGradients + first, pitch, false)
  }

  /// dV += Pᵀ·dO, dK += dXᵀ·Q and dQ += dX·(scale·K).
  func accumulate(_ work: UnitWork, _ tile: GradientTile) {
    let (scratch, keys) = (work.scratch, tile.present)
    let (pitch, group) = (GradientWorkspace.scorePitch, Int(SWA_PRODUCT_GROUP))
    kernels.gradient.product_columns(
      scratch.scores + keys.lowerBound, pitch, scratch.outputGradients, valuePitch, group,
      keys.count, valueDimension, tile.rows,
      scratch.valueGradients + keys.lowerBound * valuePitch, valuePitch, true)
    kernels.gradient.product_columns(
      scratch.scoreGradients + keys.lowerBound, pitch, scratch.queries, headPitch, group,
      keys.count, headDimension, tile.rows,
      scratch.keyGradients + keys.lowerBound * headPitch, headPitch, true)
    kernels.gradient.product_rows(
      scratch.scoreGradients + keys.lowerBound, pitch,
      scratch.keys + keys.lowerBound * headPitch, headPitch, group, tile.rows, headDimension,
      keys.count, work.queryGradients + tile.firstRow * headPitch, headPitch, true)
  }
}
