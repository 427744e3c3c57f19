internal import CMicrokernels

/// How the memory of a tile program is laid out, in floats: what a compiled one takes for granted.
package struct TileLayout: Sendable, Hashable, BitwiseCopyable {
  /// From row to row of the block, of a register and of an external block.
  package var blockPitch = 0
  package var registerPitch = 0
  package var externalPitch = 0
  /// From register to register, from column vector to column vector.
  package var registerSize = 0
  package var columnPitch = 0
  /// From row value to row value, from row pointer to row pointer.
  package var rowValuePitch = 0
  package var rowPointerPitch = 0
  /// Whether a row is one vector, as in a panel of keys.
  package var isOneVector = false

  package init() {}

  /// Whether a memory is laid out like this.
  @inline(__always)
  func describes(_ memory: swa_tile_memory) -> Bool {
    memory.block_pitch == blockPitch && memory.register_pitch == registerPitch
      && memory.register_size == registerSize && memory.column_pitch == columnPitch
      && memory.row_value_pitch == rowValuePitch && memory.row_pointer_pitch == rowPointerPitch
  }
}
