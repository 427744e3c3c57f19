import Tensors

extension StoredTensor {
  /// A row or a destination that a tensor does not have.
  public enum Misuse: Error, Hashable, CustomStringConvertible {
    /// No such row.
    case row(tensor: String, row: Int, rows: Int)
    /// The destination does not hold one row.
    case destination(tensor: String, count: Int, columns: Int)

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch self {
      case .row(let tensor, let row, let rows):
        "tensor \(tensor): no row \(row); expected 0 to \(rows - 1)"
      case .destination(let tensor, let count, let columns):
        "tensor \(tensor): destination of \(count) elements; expected \(columns)"
      }
    }
  }

  /// Writes row `row` as `columns` floats to `destination`.
  ///
  /// This is the reference meaning of every stored type. It allocates nothing.
  public func dequantizeRow(
    _ row: Int, into destination: UnsafeMutableBufferPointer<Float>
  ) throws(Misuse) {
    guard let source = self.row(row) else {
      throw .row(tensor: name, row: row, rows: rows)
    }
    guard destination.count == columns else {
      throw .destination(tensor: name, count: destination.count, columns: columns)
    }
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    withExtendedLifetime(owner) {
      Dequantization.run(type, from: from, to: to, count: columns)
    }
  }

  /// All elements as floats, row after row.
  public func dequantized() -> [Float] {
    [Float](unsafeUninitializedCapacity: elementCount) { buffer, count in
      // Rows are whole blocks and follow each other, so the tensor is one long row.
      withBytes {
        if elementCount > 0, let from = $0.baseAddress, let to = buffer.baseAddress {
          Dequantization.run(type, from: from, to: to, count: elementCount)
        }
      }
      count = elementCount
    }
  }
}
