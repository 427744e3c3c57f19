internal import Devices

// The rows of a query tile: where they stand, and their way out, straight or through a merge.
extension CUDAAttentionKernel {
  var rowFunctions: [String] {
    [placeRows, locate, joinParts, finishRows, leaveRows, waitForAll, merge]
  }

  /// Says where the rows of a pass stand.
  private var placeRows: String {
    """
    __device__ inline Place place_of(const Arguments& a, int index, int queryHead) {
      Place p;
      p.request = a.rowRequests[index];
      p.query = a.rowPositions[index];
      p.kv = 0;
      p.queryHead = queryHead;
      p.kvHead = queryHead / \(shape.groupSize);
      p.queryLength = a.queryLengths[p.request];
      p.kvLength = a.kvLengths[p.request];
      return p;
    }
    __device__ inline void place_rows(
        const Arguments& a, const QueryTile& tile, int head, int first, int count, Row* rows) {
      for (int r = threadIdx.x; r < count; r += blockDim.x) {
        // What does not exist stands where the first row does and sees nothing.
        const bool exists = first + r < tile.rowCount;
        const int packed = tile.firstMember + first + (exists ? r : 0);
        Row row;
        row.index = a.queryRows[tile.firstQuery + packed / \(shape.groupSize)];
        row.place = place_of(a, row.index, head * \(shape.groupSize) + packed % \(shape.groupSize));
        bound(row.place, row);
        if (!exists) {
          row.index = -1;
          row.first = row.end = 0;
        }
        rows[r] = row;
      }
    }
    """
  }

  /// Finds a key of a tile: its page, its place in it, and its absolute position.
  private var locate: String {
    """
    struct Slot { long long page; int place, position; };
    __device__ inline Slot locate(const Arguments& a, const QueryTile& tile, int key) {
      const int page = (unsigned long long)(unsigned)key * a.pageFactor >> a.pageShift;
      Slot slot;
      slot.place = key - page * a.pageSize;
      slot.page = a.pageIndices[tile.pages + page];
      slot.position = tile.hasPositions ? a.pagePositions[tile.pages + page] + slot.place : key;
      return slot;
    }
    __device__ inline const Stored* key_row(const Arguments& a, const Slot& s, int head) {
      return a.keys + s.page * a.keyPage + head * a.keyHead + s.place * a.keyToken;
    }
    __device__ inline const Stored* value_row(const Arguments& a, const Slot& s, int head) {
      return a.values + s.page * a.valuePage + head * a.valueHead + s.place * a.valueToken;
    }
    """
  }

  /// The parts of rows that strands or warps have computed made one: O / l, and log-sum-exps.
  ///
  /// Part i's outputs of all rows follow those of part i − 1; the result takes the first part's place.
  private var joinParts: String {
    let weights =
      variant.usesSoftmax
      ? """
      float top = -infinity(), sum = 0.f;
      for (int i = 0; i < parts; ++i) top = fmaxf(top, tops[i * count + r]);
      if (top > -infinity()) {
        for (int i = 0; i < parts; ++i) sum += sums[i * count + r] * exponential(tops[i * count + r] - top);
      }
      const float factor = quotient(scale, sum);
      for (int i = 0; i < parts; ++i)
        tops[i * count + r] = sum > 0.f ? exponential(tops[i * count + r] - top) * factor : 0.f;
      sums[r] = sum > 0.f ? top + logarithm(sum) : -infinity();
      """
      : """
      for (int i = 0; i < parts; ++i) tops[i * count + r] = scale;
      sums[r] = -infinity();
      """
    return """
      __device__ inline void join_parts(
          const Arguments& a, int head, int parts, int count, float* outputs, float* tops,
          float* sums) {
        const float scale = \(has(.value) ? "1.f" : "a.valueScales[head]");
        for (int r = threadIdx.x; r < count; r += blockDim.x) {
          \(weights.indented(by: 4))
        }
        __syncthreads();
        for (int e = threadIdx.x; e < count * \(shape.valueDimension); e += blockDim.x) {
          float x = 0.f;
          for (int i = 0; i < parts; ++i) {
            const float weight = tops[i * count + e / \(shape.valueDimension)];
            if (weight != 0.f) x += weight * outputs[i * count * \(shape.valueDimension) + e];
          }
          outputs[e] = x;
        }
        __syncthreads();
      }
      """
  }

  /// Whole rows in shared memory: sinks, output functors, out; by all threads of a block.
  private var finishRows: String {
    let n = shape.valueDimension
    let sinks =
      has(.sink)
      ? """
        for (int r = threadIdx.x; r < count; r += blockDim.x) {
          const float factor = add_sinks(a, rows[r].place, sums[r]);
          for (int d = 0; d < \(n); ++d) outputs[r * \(n) + d] *= factor;
        }
        __syncthreads();
      """ : ""
    return """
      __device__ inline void finish_rows(
          const Arguments& a, const Row* rows, int count, float* outputs, float* sums) {
      \(sinks)
        for (int e = threadIdx.x; e < count * \(n); e += blockDim.x) {
          const int r = e / \(n), d = e % \(n);
          const Place& p = rows[r].place;
          store(a.output + rows[r].index * a.outputStride + p.queryHead * \(n) + d,
              output(a, p, outputs + r * \(n), d));
        }
        if (!a.lse) return;
        for (int r = threadIdx.x; r < count; r += blockDim.x)
          a.lse[rows[r].index * a.lseStride + rows[r].place.queryHead] = sums[r] * a.lseFactor;
      }
      """
  }

  /// Rows of this chunk in shared memory: to the output, or as partial states.
  private var leaveRows: String {
    let n = shape.valueDimension
    return """
      __device__ inline void leave_rows(
          const Arguments& a, const WorkItem& item, const QueryTile& tile, const Row* rows,
          int head, int first, int count, float* outputs, float* sums) {
        if (count > tile.rowCount - first) count = tile.rowCount - first;
        if (item.state < 0) {
          finish_rows(a, rows, count, outputs, sums);
          return;
        }
        const long long state =
            item.state + (long long)(head - item.firstHead) * tile.rowCount + first;
        for (int e = threadIdx.x; e < count * \(n); e += blockDim.x)
          a.partialOutput[state * \(n) + e] = outputs[e];
        for (int r = threadIdx.x; r < count; r += blockDim.x) a.partialLSE[state + r] = sums[r];
      }
      """
  }

  /// Waits until every block has left its states.
  ///
  /// The counter is an integer that only grows: a launch of n blocks takes n tickets, and a block
  /// waits for the end of its own launch's.
  private var waitForAll: String {
    """
    __device__ inline void wait_for_all(const Arguments& a) {
      __threadfence();
      __syncthreads();
      if (threadIdx.x == 0) {
        const unsigned long long ticket = atomicAdd(a.arrivals, 1ull);
        const unsigned long long end = ticket - ticket % gridDim.x + gridDim.x;
        while (load_volatile(a.arrivals) < end) __nanosleep(64);
      }
      __syncthreads();
      __threadfence();
    }
    """
  }

  /// Merges partial states, each row's in the order of its keys.
  private var merge: String {
    let weighted = """
      float top = -infinity();
      for (int i = 0; i < item.count; ++i)
        top = fmaxf(top, __ldcg(a.partialLSE + a.mergeStates[item.first + i] + member));
      float sum = 0.f;
      if (top > -infinity()) {
        for (int i = 0; i < item.count; ++i)
          sum += exponential(__ldcg(a.partialLSE + a.mergeStates[item.first + i] + member) - top);
      }
      const float factor = quotient(1.f, sum);
      const float lse = sum > 0.f ? top + logarithm(sum) : -infinity();
      for (int d = threadIdx.x; d < \(shape.valueDimension); d += blockDim.x) {
        float x = 0.f;
        if (sum > 0.f) {
          for (int i = 0; i < item.count; ++i) {
            const long long state = a.mergeStates[item.first + i] + member;
            const float weight = exponential(__ldcg(a.partialLSE + state) - top) * factor;
            x += weight * __ldcg(a.partialOutput + state * \(shape.valueDimension) + d);
          }
        }
        row[d] = x;
      }
      """
    let summed = """
      const float lse = -infinity();
      for (int d = threadIdx.x; d < \(shape.valueDimension); d += blockDim.x) {
        float x = 0.f;
        for (int i = 0; i < item.count; ++i) {
          const long long state = a.mergeStates[item.first + i] + member;
          x += __ldcg(a.partialOutput + state * \(shape.valueDimension) + d);
        }
        row[d] = x;
      }
      """
    return """
      __device__ inline void merge(const Arguments& a, unsigned char* memory) {
        float* row = (float*)memory;
        float& total = row[\(shape.valueDimension)];
        Row* place = (Row*)(row + \(shape.valueDimension + 1));
        const int count = *a.mergeCount;
        if (count == 0) return;
        wait_for_all(a);
        for (int i = blockIdx.x; i < count; i += gridDim.x) {
          const MergeItem item = a.merges[i];
          for (int member = 0; member < item.heads; ++member) {
            if (threadIdx.x == 0) {
              place->index = item.query;
              place->place = place_of(a, item.query, item.queryHead + member);
            }
            \((variant.usesSoftmax ? weighted : summed).indented(by: 6))
            if (threadIdx.x == 0) total = lse;
            __syncthreads();
            finish_rows(a, place, 1, row, &total);
            __syncthreads();
          }
        }
      }
      """
  }
}
