//! A table whose entries are named by slot and generation, so that old names never find new entries.

/// Values in reusable slots.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Adds a value; returns its slot and generation.
    pub(super) fn insert(&mut self, value: T) -> (u32, u32) {
        self.len += 1;
        if let Some(slot) = self.free.pop()
            && let Some(entry) = self.slots.get_mut(slot as usize)
        {
            entry.value = Some(value);
            return (slot, entry.generation);
        }
        // The callers bound the number of entries far below this.
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            generation: 0,
            value: Some(value),
        });
        (slot, 0)
    }

    pub(super) fn remove(&mut self, slot: u32, generation: u32) -> Option<T> {
        let entry = self
            .slots
            .get_mut(slot as usize)
            .filter(|entry| entry.generation == generation)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        self.len -= 1;
        Some(value)
    }

    pub(super) fn get(&self, slot: u32, generation: u32) -> Option<&T> {
        self.slots
            .get(slot as usize)
            .filter(|entry| entry.generation == generation)?
            .value
            .as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut T> {
        self.slots
            .get_mut(slot as usize)
            .filter(|entry| entry.generation == generation)?
            .value
            .as_mut()
    }

    /// The value in a slot, with its generation.
    pub(super) fn entry(&self, slot: u32) -> Option<(u32, &T)> {
        let entry = self.slots.get(slot as usize)?;
        entry.value.as_ref().map(|value| (entry.generation, value))
    }

    /// The value in a slot, with its generation.
    pub(super) fn entry_mut(&mut self, slot: u32) -> Option<(u32, &mut T)> {
        let entry = self.slots.get_mut(slot as usize)?;
        let generation = entry.generation;
        entry.value.as_mut().map(|value| (generation, value))
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entry_mut(slot).map(|(_, value)| value)
    }

    /// All values, by slot and generation.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32, &T)> {
        (0..).zip(&self.slots).filter_map(|(slot, entry)| {
            entry
                .value
                .as_ref()
                .map(|value| (slot, entry.generation, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_does_not_find_a_new_entry() {
        let mut slots = Slots::new();
        let (slot, generation) = slots.insert('a');
        assert_eq!(slots.remove(slot, generation), Some('a'));
        assert_eq!(slots.remove(slot, generation), None);
        let (again, newer) = slots.insert('b');
        assert_eq!(again, slot);
        assert_eq!(slots.get(slot, generation), None);
        assert_eq!(slots.get(slot, newer), Some(&'b'));
        assert_eq!(slots.len(), 1);
    }
}
