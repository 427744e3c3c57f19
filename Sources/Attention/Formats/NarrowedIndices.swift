internal import CMicrokernels

/// The best level's copies of index lists.
private let kernels = swa_best_attention_kernels().pointee

/// Page numbers in the 32 bits that a run reads, checked on the way.
struct NarrowedPages {
  let pages: [Int32]
  /// The largest of them, −1 of none; `nil` where a number is outside `0 ..< Int32.max`.
  let largest: Int32?

  init(_ numbers: [Int]) {
    var most = -1
    pages = [Int32](unsafeUninitializedCapacity: numbers.count) { target, count in
      numbers.withUnsafeBufferPointer { numbers in
        most = kernels.narrow_indices(numbers.baseAddress, numbers.count, target.baseAddress)
      }
      count = numbers.count
    }
    largest = most < -1 ? nil : Int32(truncatingIfNeeded: most)
  }
}

/// The tokens of each request of a page table, checked on the way.
struct PageLengths {
  let lengths: [Int32]
  /// Whether offsets ascend, and last pages and lengths are within their limits.
  let areRight: Bool

  init(offsets: [Int], lastPageLengths: [Int], pageSize: Int) {
    var areRight = false
    lengths = [Int32](unsafeUninitializedCapacity: lastPageLengths.count) { target, count in
      offsets.withUnsafeBufferPointer { offsets in
        lastPageLengths.withUnsafeBufferPointer { last in
          areRight = kernels.page_lengths(
            offsets.baseAddress, last.baseAddress, last.count, pageSize, target.baseAddress)
        }
      }
      count = lastPageLengths.count
    }
    self.areRight = areRight
  }
}

extension [Int32] {
  /// Numbers that are known to fit 32 bits.
  init(narrowing numbers: [Int]) {
    self.init(unsafeUninitializedCapacity: numbers.count) { target, count in
      numbers.withUnsafeBufferPointer {
        kernels.narrow($0.baseAddress, $0.count, target.baseAddress)
      }
      count = numbers.count
    }
  }
}
