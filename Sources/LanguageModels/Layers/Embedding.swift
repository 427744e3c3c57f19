import Checkpoints
import Tensors
import Tokenizers

/// The table of token vectors, read row by row as the checkpoint stores it.
struct Embedding: Sendable {
  let table: StoredTensor
  let scale: Float

  /// Writes the scaled vector of token `i` into row `i` of `x`.
  func run(_ tokens: ArraySlice<TokenID>, into x: MatrixView) throws {
    for (i, token) in tokens.enumerated() {
      let row = UnsafeMutableBufferPointer(start: x.row(i), count: x.columns)
      try table.dequantizeRow(Int(token), into: row)
      if scale != 1 { for j in row.indices { row[j] *= scale } }
    }
  }
}
