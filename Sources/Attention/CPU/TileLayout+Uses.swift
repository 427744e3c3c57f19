// The layouts that there are.
extension TileLayout {
  /// Score tiles of the forward pass: a strip's rows at a time.
  init(scoresOfStrip strip: Int) {
    self.init()
    blockPitch = AttentionWorkspace.scorePitch
    registerPitch = AttentionWorkspace.scorePitch
    registerSize = AttentionWorkspace.scorePitch * strip
    columnPitch = AttentionWorkspace.scorePitch
    rowValuePitch = VariantScratch.rowPitch
    rowPointerPitch = VariantScratch.rowPitch
  }

  /// Score tiles of the backward pass, for a program of so many registers.
  init(gradientOf registers: Int) {
    self.init()
    blockPitch = GradientWorkspace.scorePitch
    registerPitch = GradientWorkspace.scorePitch
    registerSize = GradientWorkspace.scorePitch * ScoreProgram.rowGroup(registers: registers)
    columnPitch = GradientWorkspace.scorePitch
    rowValuePitch = GradientWorkspace.tileRows
    rowPointerPitch = GradientWorkspace.tileRows
  }

  /// Vectors of `dimension` elements: a panel, or rows.
  init(vectorsIn layout: BlockProgram.Layout, dimension: Int) {
    self.init()
    let (lanes, pitch) = (VectorFunctor.tokens, VectorFunctor.pitch(dimension))
    isOneVector = layout == .panel
    blockPitch = isOneVector ? lanes : pitch
    registerPitch = blockPitch
    externalPitch = blockPitch
    registerSize = lanes * pitch
    columnPitch = isOneVector ? lanes : pitch
    rowValuePitch = isOneVector ? pitch : lanes
  }
}
