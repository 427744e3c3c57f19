internal import Devices
internal import Tensors

// A tile's keys and values on their way into shared memory.
//
// Where a key lies is found once for all its bytes: the lane that has its number looks its page up and
// leaves two addresses, from which the lanes that copy it go on.
extension CUDAAttentionKernel {
  /// How a kind of rows comes to the products.
  enum Way {
    /// Copied as the products read it.
    case copied
    /// Copied as it is stored, and converted in shared memory.
    case staged
    /// Converted as it is read.
    case read
  }

  /// Rows of one kind: keys or values.
  struct StoredRows {
    let kind: Functor.Kind
    let dimension: Int
    let way: Way
    /// 16-byte pieces of a row that are copied.
    let pieces: Int

    var name: String { kind.rawValue }
    /// Elements of a row in shared memory, whole products' columns of 16.
    var columns: Int { (dimension + 15) / 16 * 16 }
  }

  var keyRows: StoredRows { rows(.key, shape.headDimension) }
  var valueRows: StoredRows { rows(.value, shape.valueDimension) }

  private func rows(_ kind: Functor.Kind, _ dimension: Int) -> StoredRows {
    let bytes = dimension * storedType.blockBytes
    if copies(kind, dimension) {
      return StoredRows(
        kind: kind, dimension: dimension, way: .copied, pieces: (dimension + 15) / 16 * 2)
    }
    if case .tensor = tile, bytes % 16 == 0 {
      return StoredRows(kind: kind, dimension: dimension, way: .staged, pieces: bytes / 16)
    }
    return StoredRows(kind: kind, dimension: dimension, way: .read, pieces: 0)
  }

  /// Whether stored elements are what the products read.
  func copies(_ kind: Functor.Kind, _ dimension: Int) -> Bool {
    storedType.blockBytes == 2 && dimension % 8 == 0 && !has(kind)
  }

  /// The functions that bring `keys` keys and values, by `loaders` threads, to where `chunk_at` says.
  ///
  /// - Parameter extents: What `chunk_at` is told of keys and of values.
  func copyFunctions(keys: Int, loaders: Int, extents: (key: Int, value: Int)) -> [String] {
    let kinds = [(keyRows, extents.key), (valueRows, extents.value)]
    return [sources]
      + kinds.filter { $0.0.way != .read }.map { fetch($0.0, keys, loaders, $0.1) }
      + kinds.filter { $0.0.way != .copied }.map { convert($0.0, keys, loaders, $0.1) }
  }

  /// Where keys' rows begin; and a key that has been located, among them.
  var sources: String {
    """
    struct Source { const Stored *key, *value; };
    __device__ inline void put(
        const Arguments& a, const Slot& slot, int head, bool exists, Source& source, int& position) {
      source.key = key_row(a, slot, head);
      source.value = value_row(a, slot, head);
      position = exists ? slot.position : -1;
    }
    """
  }

  /// Rows by `cp.async`: neighbouring lanes copy neighbouring pieces.
  private func fetch(_ rows: StoredRows, _ keys: Int, _ loaders: Int, _ extent: Int) -> String {
    var lanes = 1
    while lanes < 32, rows.pieces % (lanes * 2) == 0 { lanes *= 2 }
    let step = loaders / lanes
    let isCopied = rows.way == .copied
    let place =
      isCopied
      ? "2 * chunk_at(n + row, c + column, \(extent))"
      : "((n + row) * \(rows.pieces) + c + column) * 16"
    // What is behind the dimensions, up to whole products, is 0.
    let exists =
      isCopied && rows.dimension % 16 != 0 ? "(c + column) * 8 < \(rows.dimension)" : "true"
    let elements = 16 / storedType.blockBytes
    // Addresses are read some at a time, before the copies that wait for them; a warp group that only
    // fetches has few registers.
    let steps = (keys + step - 1) / step
    let hasFew = hopperTile != nil
    let batch = min(steps, hasFew ? 2 : 8)
    return """
      __device__ inline void fetch_\(rows.name)s(
          const Source* sources, SharedAddress to, int lane) {
        const int row = lane / \(lanes), column = lane % \(lanes);
        #pragma unroll \(hasFew ? 1 : steps)
        for (int first = 0; first < \(steps); first += \(batch)) {
          const Stored* from[\(batch)];
          #pragma unroll
          for (int i = 0; i < \(batch); ++i)
            from[i] = sources[(first + i) * \(step) + row].\(rows.name) + column * \(elements);
          #pragma unroll
          for (int i = 0; i < \(batch); ++i) {
            const int n = (first + i) * \(step);
            \(keys % step == 0 ? "" : "if (n + row >= \(keys)) break;")
            #pragma unroll
            for (int c = 0; c < \(rows.pieces); c += \(lanes))
              copy_async(to + \(place), from[i] + c * \(elements), \(exists));
          }
        }
      }
      """
  }

  /// Rows of the products' elements made of stored ones.
  private func convert(_ rows: StoredRows, _ keys: Int, _ loaders: Int, _ extent: Int) -> String {
    let (n, chunks) = (rows.dimension, rows.columns / 8)
    let from =
      rows.way == .staged ? "(const Stored*)stored + number * \(n)" : "sources[number].\(rows.name)"
    let isOctet = storedType.blockBytes == 1 && n % 8 == 0 && !has(rows.kind)
    let elements =
      isOctet
      ? """
      uint2 bits = uint2();
      if (d < \(n)) bits = *(const uint2*)(from + d);
      #pragma unroll
      for (int e = 0; e < 8; ++e) x[e] = load((const Stored*)&bits + e);
      """
      : """
      #pragma unroll
      for (int e = 0; e < 8; ++e) x[e] = d + e < \(n) ? \(rows.name)(a, p, from, d + e) : 0.f;
      """
    return """
      __device__ inline void convert_\(rows.name)s(
          const Arguments& a, Place p, const unsigned char* stored, const Source* sources,
          const int* positions, Half* to, int lane) {
        for (int i = lane; i < \(keys * chunks); i += \(loaders)) {
          const int number = i / \(chunks), d = i % \(chunks) * 8;
          const Stored* from = \(from);
          // A key that does not exist stands for another, and weighs nothing.
          p.kv = max(positions[number], 0);
          float x[8];
          \(elements.indented(by: 4))
          uint4 halves;
          halves.x = pack(x[0], x[1]); halves.y = pack(x[2], x[3]);
          halves.z = pack(x[4], x[5]); halves.w = pack(x[6], x[7]);
          *(uint4*)(to + chunk_at(number, d / 8, \(extent))) = halves;
        }
      }
      """
  }
}
