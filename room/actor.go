package room

import (
	"fmt"
	"strconv"
	"sync"

	"usher/room/store"
)

// actorBlock is how many numbers are reserved at a time. The next block is asked
// for when half of one is left, so that nobody waits for the store; what a stop
// leaves of a block is never used. Clients keep the numbers in 53 bits.
const actorBlock = 1 << 20

const actorSetting = "actors"

// actors gives each participant that is shown a number which no other ever had
// or will have, in no room. Hidden ones take none until they are shown, so a gap
// does not tell of them. Its mutex is a leaf below a room's.
type actors struct {
	store store.Store // static

	mu     sync.Mutex // guards the following fields
	last   uint64     // given
	end    uint64     // of what the store knows to be reserved
	asked  uint64     // end when the ticket is done
	ticket *store.Ticket
}

// load goes on behind everything that was reserved, and reserves the first block.
func (a *actors) load(s store.Store) error {
	a.store = s
	err := store.LoadSettings(s, func(kept store.Setting) error {
		if kept.Key != actorSetting {
			return nil
		}
		n, err := strconv.ParseUint(string(kept.Value), 10, 53)
		if err != nil {
			return fmt.Errorf("%w: the setting %q is no number: %w", store.ErrDamaged, actorSetting, err)
		}
		a.last, a.end = n, n
		return nil
	})
	if err != nil {
		return err
	}
	a.reserveLocked()
	if err := a.ticket.Wait(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	a.end = a.asked
	return nil
}

func (a *actors) reserveLocked() {
	a.asked = a.end + actorBlock
	a.ticket = a.store.Commit(store.Setting{Key: actorSetting, Value: strconv.AppendUint(nil, a.asked, 10)}.Put())
}

// next returns a number. Its error is [ErrUnavailable]: the store has not taken
// anything for half a block.
func (a *actors) next() (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.end-a.last <= actorBlock/2 {
		select {
		case <-a.ticket.Done():
			if a.asked > a.end && a.ticket.Wait() == nil {
				a.end = a.asked
			}
			if a.end-a.last <= actorBlock/2 {
				a.reserveLocked()
			}
		default:
		}
	}
	if a.last == a.end {
		return 0, ErrUnavailable
	}
	a.last++
	return a.last, nil
}
