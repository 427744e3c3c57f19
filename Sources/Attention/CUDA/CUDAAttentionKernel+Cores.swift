internal import Devices
internal import Tensors

// T_q = 1: a key is read once, by a few lanes, for up to eight rows of its group.
//
// Lanes hold eight elements of a vector each. A strand, the lanes of one key, keeps a softmax of its own;
// strands are merged at the end of the chunk, in their order. A warp takes its keys some at a time, and
// looks up where they lie a round ahead, a key a lane.
extension CUDAAttentionKernel {
  /// Rows of a pass: the group, at most eight; of large heads fewer, which is what registers hold.
  var coreRows: Int {
    let octets = coreOctets(shape.headDimension) + coreOctets(shape.valueDimension)
    let most = octets <= 2 ? 8 : octets <= 4 ? 4 : 2
    var rows = 1
    while rows < min(shape.groupSize, most) { rows *= 2 }
    return rows
  }

  /// Lanes of a strand.
  private var strandLanes: Int {
    let octets = (max(shape.headDimension, shape.valueDimension) + 7) / 8
    var lanes = 4
    while lanes < min(octets, 32) { lanes *= 2 }
    return lanes
  }

  /// Groups of eight elements that a lane holds of a vector.
  private func coreOctets(_ dimension: Int) -> Int {
    ((dimension + 7) / 8 + strandLanes - 1) / strandLanes
  }

  private var strands: Int { coreThreads / strandLanes }

  /// Sixteen warps where their registers suffice: reads of some are under way while others multiply.
  var coreThreads: Int {
    let (keys, values) = (coreOctets(shape.headDimension), coreOctets(shape.valueDimension))
    // Registers that hold eight elements as they were fetched.
    func held(_ kind: Functor.Kind, _ dimension: Int) -> Int {
      loadsOctets(kind, dimension) ? storedType.blockBytes * 2 : 8
    }
    let fetched =
      keys * held(.key, shape.headDimension) + values * held(.value, shape.valueDimension)
    let registers = coreRows * (keys + values) * 8 + coreDepth * (fetched + coreRows)
    return registers <= 72 && !callsFunctors ? 512 : 256
  }

  /// Keys that a warp works on at a time, and that it looks up at a time.
  private var coreKeys: Int { coreDepth * (32 / strandLanes) }
  private var coreRound: Int { max(coreKeys, 16) }

  /// Keys of a strand that are in flight at a time: fewer where there are many rows, which code is made for
  /// one by one.
  private var coreDepth: Int {
    coreRows * coreOctets(shape.headDimension) <= 2 ? 4 : 2
  }

  /// The strands' outputs, maxima and sums, rounded up to whole 16 bytes.
  private var coreJoin: Int {
    (coreRows * strands * (shape.valueDimension + 2) * 4 + 15) / 16 * 16
  }

  /// These, where a round's keys lie, their positions, and the rows' places.
  var coreBytes: Int {
    (coreJoin + coreThreads / 32 * coreRound * 20 + coreRows * 40 + 15) / 16 * 16
  }

  var coreFunctions: [String] {
    [
      sources, octets(.key, shape.headDimension), octets(.value, shape.valueDimension), attendCores,
    ]
  }

  /// Whether eight elements of a stored vector are one aligned load.
  private func loadsOctets(_ kind: Functor.Kind, _ dimension: Int) -> Bool {
    dimension % 8 == 0 && !has(kind)
  }

  /// Eight elements of a stored vector: fetched, later widened.
  private func octets(_ kind: Functor.Kind, _ dimension: Int) -> String {
    let type = kind == .key ? "Key8" : "Value8"
    // Lanes past a vector's end hold zeros.
    let isWhole = dimension == coreOctets(dimension) * strandLanes * 8
    let exists = isWhole ? "" : "if (d < \(dimension)) "
    guard loadsOctets(kind, dimension) else {
      return """
        struct \(type) { float x[8]; };
        __device__ inline void fetch(
            \(type)& o, const Arguments& a, const Place& p, const Stored* row, int d) {
          #pragma unroll
          for (int e = 0; e < 8; ++e)
            o.x[e] = d + e < \(dimension) ? \(kind.rawValue)(a, p, row, d + e) : 0.f;
        }
        __device__ inline void widen(const \(type)& o, float (&x)[8]) {
          #pragma unroll
          for (int e = 0; e < 8; ++e) x[e] = o.x[e];
        }
        """
    }
    let (bytes, vector) = storedType.blockBytes == 1 ? (8, "uint2") : (16, "uint4")
    let count = storedType.blockBytes * 8 / bytes
    return """
      struct \(type) { \(vector) bits[\(count)]; };
      __device__ inline void fetch(
          \(type)& o, const Arguments& a, const Place& p, const Stored* row, int d) {
        #pragma unroll
        for (int i = 0; i < \(count); ++i) {
          \(isWhole ? "" : "o.bits[i] = \(vector)();")
          \(exists)o.bits[i] = __ldg((const \(vector)*)(row + d) + i);
        }
      }
      __device__ inline void widen(const \(type)& o, float (&x)[8]) {
        const Stored* bits = (const Stored*)o.bits;
        #pragma unroll
        for (int e = 0; e < 8; ++e) x[e] = load(bits + e);
      }
      """
  }

  /// One pass's rows against one chunk of keys of one head.
  private var attendCores: String {
    let (n, rows, depth) = (shape.valueDimension, coreRows, coreDepth)
    let (lanes, strands) = (strandLanes, self.strands)
    let (keyOctets, valueOctets) = (coreOctets(shape.headDimension), coreOctets(n))
    let (warps, round, atATime) = (coreThreads / 32, coreRound, coreKeys)
    let scale = "\(variant.scale(for: shape))f" + (has(.key) ? "" : " * a.keyScales[head]")
    // Rows past the tile's see no keys.
    let weigh =
      variant.usesSoftmax
      ? """
      float high = top[r];
      #pragma unroll
      for (int u = 0; u < \(depth); ++u) high = fmaxf(high, score[r][u]);
      const float factor = high > -infinity() ? exponential(top[r] - high) : 1.f;
      top[r] = high;
      sum[r] *= factor;
      #pragma unroll
      for (int u = 0; u < \(depth); ++u) {
        score[r][u] = high > -infinity() ? exponential(score[r][u] - high) : 0.f;
        sum[r] += score[r][u];
      }
      #pragma unroll
      for (int e = 0; e < \(valueOctets * 8); ++e) out[r][e] *= factor;
      """ : ""
    return """
      __device__ void attend(
          const Arguments& a, const WorkItem& item, const QueryTile& tile, int head, int first,
          unsigned char* memory) {
        float* outputs = (float*)memory;
        float* tops = outputs + \(rows * strands * n);
        float* sums = tops + \(rows * strands);
        const int warp = threadIdx.x / 32, number = threadIdx.x % 32;
        const int strand = threadIdx.x / \(lanes), lane = threadIdx.x % \(lanes);
        Source* sources = (Source*)(memory + \(coreJoin)) + warp * \(round);
        int* places = (int*)((Source*)(memory + \(coreJoin)) + \(warps * round)) + warp * \(round);
        Row* rows = (Row*)((int*)((Source*)(memory + \(coreJoin)) + \(warps * round)) + \(warps * round));
        const float scale = \(scale);
        place_rows(a, tile, head, first, \(rows), rows);
        __syncthreads();

        float q[\(rows)][\(keyOctets * 8)], out[\(rows)][\(valueOctets * 8)];
        float top[\(rows)], sum[\(rows)];
        #pragma unroll
        for (int r = 0; r < \(rows); ++r) {
          const bool exists = rows[r].index >= 0;
          const Query* from = a.queries + (exists ? rows[r].index : 0) * a.queryStride
              + (exists ? rows[r].place.queryHead : 0) * \(shape.headDimension);
          #pragma unroll
          for (int e = 0; e < \(keyOctets * 8); ++e) {
            const int d = (e / 8 * \(lanes) + lane) * 8 + e % 8;
            q[r][e] = exists && d < \(shape.headDimension)
                ? query(a, rows[r].place, from, d) : 0.f;
          }
          #pragma unroll
          for (int e = 0; e < \(valueOctets * 8); ++e) out[r][e] = 0.f;
          top[r] = -infinity();
          sum[r] = 0.f;
        }

        const int begin = item.kvFirst + warp * \(round);
        Slot found;
        if (begin < item.kvEnd && number < \(round))
          found = locate(a, tile, min(begin + number, item.kvEnd - 1));
        for (int base = begin; base < item.kvEnd; base += \(warps * round)) {
          __syncwarp();
          if (number < \(round))
            put(a, found, head, base + number < item.kvEnd, sources[number], places[number]);
          __syncwarp();
          const int next = base + \(warps * round);
          if (next < item.kvEnd && number < \(round))
            found = locate(a, tile, min(next + number, item.kvEnd - 1));
          // Every lane takes the same number of turns: a warp's lanes exchange their parts of scores.
          for (int turn = 0; turn < \(round) && base + turn < item.kvEnd; turn += \(atATime)) {
          Key8 keys[\(depth)][\(keyOctets)];
          Value8 values[\(depth)][\(valueOctets)];
          int positions[\(depth)];
          #pragma unroll
          for (int u = 0; u < \(depth); ++u) {
            const int key = turn + u * \(32 / lanes) + number / \(lanes);
            const Source source = sources[key];
            positions[u] = places[key];
            // A key that does not exist stands for another, and weighs nothing.
            Place p = rows[0].place;
            p.kv = max(positions[u], 0);
            #pragma unroll
            for (int i = 0; i < \(keyOctets); ++i)
              fetch(keys[u][i], a, p, source.key, (i * \(lanes) + lane) * 8);
            #pragma unroll
            for (int i = 0; i < \(valueOctets); ++i)
              fetch(values[u][i], a, p, source.value, (i * \(lanes) + lane) * 8);
          }
          float score[\(rows)][\(depth)];
          #pragma unroll
          for (int u = 0; u < \(depth); ++u) {
            #pragma unroll
            for (int r = 0; r < \(rows); ++r) score[r][u] = 0.f;
            #pragma unroll
            for (int i = 0; i < \(keyOctets); ++i) {
              float k[8];
              widen(keys[u][i], k);
              #pragma unroll
              for (int r = 0; r < \(rows); ++r)
                #pragma unroll
                for (int e = 0; e < 8; ++e) score[r][u] = fmaf(q[r][i * 8 + e], k[e], score[r][u]);
            }
          }
          #pragma unroll
          for (int r = 0; r < \(rows); ++r) {
            #pragma unroll
            for (int u = 0; u < \(depth); ++u) {
              #pragma unroll
              for (int distance = \(lanes / 2); distance > 0; distance /= 2)
                score[r][u] += __shfl_xor_sync(0xffffffffu, score[r][u], distance);
              Place p = rows[r].place;
              p.kv = positions[u];
              const bool sees = p.kv >= rows[r].first && p.kv < rows[r].end && mask(a, p);
              score[r][u] = sees
                  ? logits(a, p, score[r][u] * scale) : \(variant.usesSoftmax ? "-infinity()" : "0.f");
            }
            \(weigh.indented(by: 6))
          }
          #pragma unroll
          for (int u = 0; u < \(depth); ++u)
            #pragma unroll
            for (int i = 0; i < \(valueOctets); ++i) {
              float v[8];
              widen(values[u][i], v);
              #pragma unroll
              for (int r = 0; r < \(rows); ++r)
                #pragma unroll
                for (int e = 0; e < 8; ++e)
                  out[r][i * 8 + e] = fmaf(score[r][u], v[e], out[r][i * 8 + e]);
            }
          }
        }

        #pragma unroll
        for (int r = 0; r < \(rows); ++r) {
          #pragma unroll
          for (int e = 0; e < \(valueOctets * 8); ++e) {
            const int d = (e / 8 * \(lanes) + lane) * 8 + e % 8;
            if (d < \(n)) outputs[(strand * \(rows) + r) * \(n) + d] = out[r][e];
          }
          if (lane == 0) {
            tops[strand * \(rows) + r] = top[r];
            sums[strand * \(rows) + r] = sum[r];
          }
        }
        __syncthreads();
        join_parts(a, head, \(strands), \(rows), outputs, tops, sums);
        leave_rows(a, item, tile, rows, head, first, \(rows), outputs, sums);
        __syncthreads();
      }
      """
  }
}
