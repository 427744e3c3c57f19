/// What a launch of the attention kernel is told: addresses on the device, and strides in elements.
///
/// The plan's sections keep their addresses and the counts lie in memory, so that a captured launch
/// serves every batch within the plan's bounds. The text of the same structure in C++ is
/// ``declaration``; the order of the fields is the contract.
package struct CUDAAttentionArguments: BitwiseCopyable, Sendable {
  package var queries: UInt64 = 0
  package var output: UInt64 = 0
  /// 0 where no log-sum-exp is asked for.
  package var lse: UInt64 = 0
  package var keys: UInt64 = 0
  package var values: UInt64 = 0
  package var keyScales: UInt64 = 0
  package var valueScales: UInt64 = 0
  package var tiles: UInt64 = 0
  package var items: UInt64 = 0
  package var workerOffsets: UInt64 = 0
  package var merges: UInt64 = 0
  package var mergeStates: UInt64 = 0
  /// One 32-bit integer: the number of merges.
  package var mergeCount: UInt64 = 0
  package var pageIndices: UInt64 = 0
  package var pagePositions: UInt64 = 0
  package var kvLengths: UInt64 = 0
  package var queryLengths: UInt64 = 0
  package var queryRows: UInt64 = 0
  package var rowRequests: UInt64 = 0
  package var rowPositions: UInt64 = 0
  package var perHead: UInt64 = 0
  package var tensors: UInt64 = 0
  package var masks: UInt64 = 0
  package var tokenOffsets: UInt64 = 0
  package var queryOffsets: UInt64 = 0
  package var partialOutput: UInt64 = 0
  package var partialLSE: UInt64 = 0
  /// One 64-bit integer that counts the blocks that have left their partial states.
  ///
  /// It is 0 before the first launch and never reset: 32 bits would be full within hours.
  package var arrivals: UInt64 = 0
  package var queryStride: Int64 = 0
  package var outputStride: Int64 = 0
  package var lseStride: Int64 = 0
  package var keyPage: Int64 = 0
  package var keyHead: Int64 = 0
  package var keyToken: Int64 = 0
  package var valuePage: Int64 = 0
  package var valueHead: Int64 = 0
  package var valueToken: Int64 = 0
  package private(set) var pageSize: Int32 = 1
  /// What divides by the page size without a division: key · factor ≫ shift.
  package private(set) var pageFactor: UInt32 = (1 << 31) + 1
  package private(set) var pageShift: Int32 = 31
  /// From natural logarithms to the base asked for.
  package var lseFactor: Float = 1

  /// Nothing but zeros, pages of one token.
  package init() {}

  /// Says how many tokens a page has.
  ///
  /// For 2^(n−1) < size ≤ 2^n the factor is ⌊2^(31+n) / size⌋ + 1, at most 2^32 − 1 unless the size is 1,
  /// and the quotient is that of any number of 31 bits: the factor is too large by at most 1, which makes
  /// the product too large by less than 2^31 ≤ 2^(31+n) / size.
  package mutating func setPageSize(_ size: Int) {
    let size = UInt64(max(size, 1))
    let n = 64 - (size - 1).leadingZeroBitCount
    pageSize = Int32(truncatingIfNeeded: size)
    pageFactor = UInt32(truncatingIfNeeded: (1 << UInt64(31 + n)) / size + 1)
    pageShift = Int32(31 + n)
  }

  /// The plan's records and these arguments in C++.
  static let declaration = """
    struct QueryTile {
      int firstQuery, firstMember, rowCount, pages, kvFirst, kvEnd;
      bool hasPositions;
      int kvHead;
      bool isSole;
    };
    struct WorkItem { int tile, kvFirst, kvEnd, firstHead, headEnd, state; };
    struct MergeItem { int query, queryHead, heads, first, count; };
    struct Tensor { const float* base; long long headPitch; unsigned char heads; };
    struct Mask { const unsigned char* bytes; const long long* offsets; };
    struct Arguments {
      const Query* queries;
      Query* output;
      float* lse;
      const Stored* keys;
      const Stored* values;
      const float* keyScales;
      const float* valueScales;
      const QueryTile* tiles;
      const WorkItem* items;
      const int* workerOffsets;
      const MergeItem* merges;
      const int* mergeStates;
      const int* mergeCount;
      const int* pageIndices;
      const int* pagePositions;
      const int* kvLengths;
      const int* queryLengths;
      const int* queryRows;
      const int* rowRequests;
      const int* rowPositions;
      const float* perHead;
      const Tensor* tensors;
      const Mask* masks;
      const long long* tokenOffsets;
      const long long* queryOffsets;
      float* partialOutput;
      float* partialLSE;
      unsigned long long* arrivals;
      long long queryStride, outputStride, lseStride;
      long long keyPage, keyHead, keyToken, valuePage, valueHead, valueToken;
      int pageSize;
      unsigned pageFactor;
      int pageShift;
      float lseFactor;
    };
    """
}
